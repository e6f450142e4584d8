"""The extent map: which file owns a block, how fragmented it is, whether the volume agrees."""

"""Which rows of ``files`` a folder stands for."""

import pyarrow as pa

from sbtk.plan.selection import in_folder


def test_a_folder_is_itself_and_what_is_in_it_and_no_other_of_a_longer_name():
    paths = pa.chunked_array([["$Extend", "$Extend/$ObjId", "$Extended.txt", "a/$Extend", None]])
    assert in_folder(paths, "$Extend").tolist() == [True, True, False, False, False]

#!/bin/bash
# run.sh DIR JOB [SECONDS] [HOSTPORT:GUESTPORT]
# Boots the machine that build.sh made in DIR, runs the script JOB in it as root, prints its console.
# The guest reaches servers on this machine's 127.0.0.1 at 10.0.2.2. With a fourth word, this machine
# reaches the guest's port at 127.0.0.1:HOSTPORT. Software emulation: a boot takes about 10 s on two cores.
set -euo pipefail
forward=${4:+,hostfwd=tcp:127.0.0.1:${4%:*}-:${4#*:}}
exec timeout "${3:-120}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -display none \
  -serial stdio -monitor none -no-reboot -kernel "$1/vmlinuz" -initrd "$1/initrd.gz" \
  -append "console=ttyS0 quiet panic=-1 job=$2" \
  -netdev "user,id=n0${forward:-}" -device virtio-net-pci,netdev=n0 \
  -fsdev local,id=h,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=h,mount_tag=host </dev/null

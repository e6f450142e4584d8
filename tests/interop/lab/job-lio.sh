# Guest job: serve a disk of the kernel's own iSCSI target (LIO) until the machine is shut off.
# The console is kept quiet: it is a serial line, and the kernel tells of every refused command.
dmesg -n 1
core=/sys/kernel/config/target/core/fileio_0/disk0
tpg=/sys/kernel/config/target/iscsi/iqn.2026-11.lab.lio:san/tpgt_1
truncate -s 268435456 /run/disk0
mkdir -p $core $tpg/np/0.0.0.0:3260
echo "fd_dev_name=/run/disk0,fd_dev_size=268435456,fd_buffered_io=1" > $core/control
echo lab-disk-0 > $core/wwn/vpd_unit_serial
echo 1 > $core/enable
mkdir -p $tpg/lun/lun_0
ln -s $core $tpg/lun/lun_0/link
echo 0 > $tpg/attrib/authentication
echo 1 > $tpg/attrib/generate_node_acls
echo 0 > $tpg/attrib/demo_mode_write_protect
echo 1 > $tpg/enable
echo LIO-READY
sleep 3000

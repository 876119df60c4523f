#!/bin/busybox sh
# The first process of the machine of test:verbs: a soft-RoCE device on its network card, and the host's root file system, read-only, with a
# layer above it that goes with the machine. There it runs /machine/shared/run.sh, leaves its exit code in /machine/shared/exit, and ends.
export PATH=/bin
/bin/busybox --install -s /bin

fail() {
  echo "machine: $*"
  reboot -f
}

mount -t devtmpfs dev /dev
echo "machine: up"
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r module; do
  insmod "/modules/$module.ko" || fail "module $module cannot be loaded"
done </modules/order

share() { mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$2" || fail "$1 cannot be mounted"; }
share host /host ro,cache=loose
share packages /packages ro,cache=loose
mount -t tmpfs upper /upper
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/packages:/host,upperdir=/upper/data,workdir=/upper/work root /new || fail "no root file system"

cd /new || fail "no root file system"
mkdir -p machine/shared machine/data
mount -t devtmpfs dev dev
mkdir -p dev/shm dev/pts
mount -t tmpfs -o size=60% shm dev/shm
mount -t devpts pts dev/pts
mount -t proc proc proc
mount -t sysfs sys sys
mount -t tmpfs run run
share shared machine/shared cache=none
chroot . /sbin/mke2fs -q -F -t ext4 /dev/vda && mount -t ext4 /dev/vda machine/data || fail "no disk"
mkdir -p machine/data/tmp

ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
chroot . /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin rdma link add rxe0 type rxe netdev eth0 || fail "no soft-RoCE device"
port=/sys/class/infiniband/rxe0/ports/1/state
for i in $(seq 300); do
  grep -q ACTIVE $port && break
  sleep 0.1
done
grep -q ACTIVE $port || fail "the soft-RoCE device does not become active"

chroot . /bin/sh /machine/shared/run.sh
echo $? >machine/shared/exit
sync
reboot -f

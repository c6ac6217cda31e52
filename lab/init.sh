#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The first process in the lab: loads KVM, runs /command, sends what it prints and leaves in /out to the host, ends the
# machine. Everything goes through the parallel port: `testudo lab-send`.
/bin/busybox mkdir -p /proc /sys /dev /tmp /out
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp TERM=dumb TESTUDO_KVM_MODULE=/modules/kvm-intel.ko
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
{
	insmod /modules/irqbypass.ko && insmod /modules/kvm.ko && insmod /modules/kvm-intel.ko nested=1
} >/tmp/modules.log 2>&1 || testudo lab-send text </tmp/modules.log
cd /
testudo lab-send begin
mkfifo /tmp/pipe
testudo lab-send text </tmp/pipe &
sh /command >/tmp/pipe 2>&1
status=$?
wait
for file in /out/*; do
	[ -f "$file" ] && testudo lab-send file "${file##*/}" <"$file"
done
testudo lab-send end $status
poweroff -f

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The lab's boot image: Debian's kernel, an initramfs with busybox, the static testudo and what the caller put there.
# Usage: image.sh CACHE TESTUDO INIT EXTRA OUT. Needs no root. Prints one sentence on standard error when it fails.
set -eu
cache=$1 testudo=$2 init=$3 extra=$4 out=$5
fail() {
	echo "$*" >&2
	exit 1
}

# ---- the kernel: its package is downloaded and unpacked once, never installed ----
package=${TESTUDO_LAB_KERNEL:-$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
	sed -n 's/^ *Depends: *\(linux-image-[^ ]*\)$/\1/p' | head -n 1)}
if [ -z "$package" ]; then
	package=$(cd "$cache" 2>/dev/null && ls -d linux-image-*/ 2>/dev/null | sort -V | tail -n 1 | tr -d /) || true
	[ -n "$package" ] || fail "no kernel package: apt-cache knows no linux-image-cloud-amd64 (apt-get update?), and none is cached in $cache"
fi
kernel=$cache/$package
if [ ! -f "$kernel/ready" ]; then
	rm -rf "$kernel" "$kernel.new"
	mkdir -p "$kernel.new"
	(cd "$kernel.new" && apt-get download -qq "$package" >/dev/null 2>apt.log) ||
		fail "the kernel package $package cannot be downloaded: $(tail -n 1 "$kernel.new/apt.log")"
	dpkg-deb -x "$kernel.new"/*.deb "$kernel.new/root" || fail "the kernel package $package cannot be unpacked"
	mkdir "$kernel.new/modules"
	for module in virt/lib/irqbypass arch/x86/kvm/kvm arch/x86/kvm/kvm-intel; do
		found=$(find "$kernel.new/root/lib/modules" -path "*/kernel/$module.ko")
		[ -n "$found" ] || fail "the kernel package $package has no module $module.ko"
		strip --strip-debug -o "$kernel.new/modules/${module##*/}.ko" "$found"
	done
	mv "$kernel.new"/root/boot/vmlinuz-* "$kernel.new/vmlinuz"
	rm -rf "$kernel.new/root" "$kernel.new"/*.deb "$kernel.new/apt.log"
	touch "$kernel.new/ready"
	mv "$kernel.new" "$kernel"
fi

# ---- the image ----
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root iso=$work/iso
mkdir -p "$root/bin" "$root/modules" "$iso/isolinux"
cp "$(command -v busybox)" "$root/bin/busybox" || fail "busybox is missing: apt-get install busybox-static"
cp "$testudo" "$root/bin/testudo"
cp "$kernel"/modules/* "$root/modules/"
cp "$init" "$root/init"
chmod +x "$root/init"
cp -r "$extra/." "$root/"
# Times and owners as they come would change the image, and with it the run, from one build to the next.
find "$work" -exec touch -h -d @946681200 {} +
(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible -R 0:0) >"$iso/initrd"
cp "$kernel/vmlinuz" "$iso/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$iso/isolinux/" ||
	fail "ISOLINUX is missing: apt-get install isolinux syslinux-common"
# tsc_early_khz: the TSC ticks once an instruction, 10^9 a second of Bochs' clock, whatever CPUID says. RDRAND is seeded
# from the host's clock: without it runs are bit-identical. The initcalls are long and of no use here.
skip=load_system_certificate_list,trace_eval_init,cubictcp_register,init_kprobe_trace,crypto_kdf108_init
cat >"$iso/isolinux/isolinux.cfg" <<END
DEFAULT lab
PROMPT 0
TIMEOUT 0
LABEL lab
 KERNEL /vmlinuz
 APPEND initrd=/initrd console=ttyS0 quiet loglevel=1 mitigations=off nokaslr tsc=reliable tsc_early_khz=1000000 cryptomgr.notests=1 clearcpuid=rdrand,rdseed audit=0 apparmor=0 panic=0 initcall_blacklist=$skip testudo.clock=instructions testudo.lab=bochs
END
find "$iso" -exec touch -h -d @946681200 {} +
SOURCE_DATE_EPOCH=946681200 genisoimage -quiet -o "$out" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
	-boot-load-size 4 -boot-info-table "$iso" || fail "genisoimage failed: apt-get install genisoimage"

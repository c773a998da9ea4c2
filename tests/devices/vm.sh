#!/usr/bin/env bash
# Runs a command as root under a kernel of its own, for what this machine's kernel has no modules for:
# cameras (vivid, v4l2loopback) and sound cards (snd-aloop). The file system is this machine's, read-only, with
# a layer in memory above it, so programs that were built here run there as they are.
#
#   vm.sh [--modules "vivid,n_devs=2 snd-aloop"] [--timeout SECONDS] COMMAND...
#
# Ends with the command's code; 124 if it took too long. Wants root and, from Debian, qemu-system-x86,
# busybox-static, cpio and kmod; for v4l2loopback make and gcc as well. The kernel is Debian's own, unpacked beside
# the machine's and never installed.
set -euo pipefail

modules="vivid,n_devs=2 snd-aloop" patience=300 memory=2048
while [ $# -gt 0 ]; do
  case $1 in
    --modules) modules=$2; shift 2 ;;
    --timeout) patience=$2; shift 2 ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }

cache=${DUET_VM_CACHE:-/var/cache/duet-vm}
kernel=$cache/kernel
mkdir -p "$cache"

# A kernel, and the list of what its modules need of each other.
if ! compgen -G "$kernel/boot/vmlinuz-*" >/dev/null; then
  apt-cache show linux-image-amd64 >/dev/null 2>&1 || apt-get -o DPkg::Lock::Timeout=900 update -q >/dev/null
  package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\)/\1/p' | head -1)
  fresh=$(mktemp -d "$cache/new.XXXXXX")
  (cd "$fresh" && apt-get -q download "$package" >/dev/null 2>&1)
  dpkg-deb -x "$fresh"/*.deb "$fresh/files"
  depmod -b "$fresh/files" "$(ls "$fresh/files/lib/modules")"
  rm -rf "$kernel"
  mv "$fresh/files" "$kernel"
  rm -rf "$fresh"
fi
version=$(ls "$kernel/lib/modules")

# A camera that shows what another program writes is no part of the kernel: it is built for this one.
if [[ " $modules " == *" v4l2loopback"* && ! -s $kernel/lib/modules/$version/updates/v4l2loopback.ko ]]; then
  fresh=$(mktemp -d "$cache/new.XXXXXX")
  (cd "$fresh" && apt-get -q download v4l2loopback-dkms "linux-headers-$version" \
    "linux-headers-${version%-amd64}-common" "linux-kbuild-${version%%.0-*}" >/dev/null 2>&1)
  for package in "$fresh"/*.deb; do dpkg-deb -x "$package" "$fresh"; done
  # The headers expect to be installed.
  sed -i "s#/usr/src/#$fresh/usr/src/#" "$fresh/usr/src/linux-headers-$version/Makefile"
  make -s -C "$fresh/usr/src/linux-headers-$version" M="$(echo "$fresh"/usr/src/v4l2loopback-*)" modules >/dev/null 2>&1
  mkdir -p "$kernel/lib/modules/$version/updates"
  mv "$fresh"/usr/src/v4l2loopback-*/v4l2loopback.ko "$kernel/lib/modules/$version/updates/"
  depmod -b "$kernel" "$version"
  rm -rf "$fresh"
fi

# One folder is shared both ways: the command goes in, its code comes out.
exchange=$(mktemp -d /tmp/duet-vm.XXXXXX)
init=/duet-vm-init.$$
trap 'rm -rf "$exchange" "$init"' EXIT
if [ $# -eq 1 ]; then printf '%s\n' "$1"; else printf '%q ' "$@"; fi >"$exchange/command"
pwd >"$exchange/directory"
printf '%s\n' $modules >"$exchange/modules"

# The first program: busybox, and the modules that reach the host's files.
image=$cache/initramfs-$version.gz
if [ ! -s "$image" ]; then
  root=$(mktemp -d "$cache/initramfs.XXXXXX")
  mkdir -p "$root"/{bin,dev,proc,sys,modules,below,above,house}
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in sh insmod mkdir mount switch_root; do ln -s busybox "$root/bin/$applet"; done
  number=100
  while read -r file; do
    number=$((number + 1))
    cp "$file" "$root/modules/$number.ko"
  done < <(for module in virtio_pci 9pnet_virtio 9p overlay virtio_rng; do
    modprobe -d "$kernel" -S "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
  done | awk '!seen[$0]++')
  cat >"$root/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do insmod "$module"; done
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose host /below
mount -t tmpfs -o size=70% tmpfs /above
mkdir /above/changes /above/work
mount -t overlay -o lowerdir=/below,upperdir=/above/changes,workdir=/above/work overlay /house
for place in dev proc sys; do mount --move /$place /house/$place; done
exec switch_root /house /bin/bash "$SECOND_INIT"
INIT
  chmod +x "$root/init"
  (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$image.part"
  mv "$image.part" "$image"
  rm -rf "$root"
fi

# The second program, on the machine's own files: sets the house up and runs the command.
cat >"$init" <<INIT
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t tmpfs tmpfs /run
mkdir -p /dev/pts /dev/shm /run/exchange
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t 9p -o trans=virtio,version=9p2000.L exchange /run/exchange
mkdir -p /lib/modules/$version
mount --bind $kernel/lib/modules/$version /lib/modules/$version
ln -sfn /proc/self/fd /dev/fd
ip link set lo up
while IFS=, read -r module options; do modprobe "\$module" \${options//,/ }; done </run/exchange/modules
cd "\$(cat /run/exchange/directory)"
bash /run/exchange/command
echo \$? >/run/exchange/code
sync
echo o >/proc/sysrq-trigger
sleep 60
INIT

# Emulated, not virtualised: nested machines are not to be relied on.
code=0
timeout "$patience" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m "$memory" \
  -nodefaults -no-reboot -nographic -serial stdio -kernel "$kernel/boot/vmlinuz-$version" -initrd "$image" \
  -append "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off random.trust_cpu=on SECOND_INIT=$init" \
  -device virtio-rng-pci \
  -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
  -virtfs "local,path=$exchange,mount_tag=exchange,security_model=none" </dev/null || code=$?
if [ -s "$exchange/code" ]; then exit "$(cat "$exchange/code")"; fi
echo "the machine ended without a word (its own code: $code)" >&2
exit $((code == 0 ? 1 : code))

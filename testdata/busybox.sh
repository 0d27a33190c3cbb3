#!/bin/sh
# busybox.sh writes to standard output the tar of a root file system made from
# this machine's statically linked busybox. The same busybox makes the same bytes.
set -eu
busybox=$(command -v busybox)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cd "$root"
mkdir -m 755 bin dev etc home proc sys usr usr/bin usr/sbin var var/www
mkdir -m 700 root
mkdir -m 1777 tmp var/tmp
install -m 755 "$busybox" bin/busybox
for applet in $("$busybox" --list); do
	[ "$applet" = busybox ] || ln -s busybox "bin/$applet"
done
cat >etc/passwd <<'X'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
X
cat >etc/group <<'X'
root:x:0:
daemon:x:1:
www-data:x:33:
nogroup:x:65534:
X
chmod 644 etc/passwd etc/group
tar --create --sort=name --numeric-owner --owner=0 --group=0 --mtime=@0 .

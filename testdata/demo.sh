#!/bin/sh
# demo.sh shows a pod's life with the directories and addresses that a user gets.
# Whatever happens, the pod does not stay; the image does, to play on with,
# unless the demo fails.
set -eu
cd "$(dirname "$0")/.."
podrun=$PWD/bin/podrun
image=docker.io/library/busybox:latest
manifest=testdata/myapp-pod.yaml

if [ "$(id -u)" -ne 0 ]; then
	echo "make demo makes namespaces, cgroups and firewall rules: run it as root" >&2
	exit 1
fi
if "$podrun" ps -o name | grep -qx pod/myapp-pod; then
	echo "a pod myapp-pod runs already; end it with: bin/podrun down myapp-pod" >&2
	exit 1
fi

imported=
clean_up() {
	code=$?
	trap '' INT TERM
	if [ $code -ne 0 ]; then
		"$podrun" down --force "$manifest" >/dev/null 2>&1 || true
		[ -z "$imported" ] || "$podrun" image rm "$image" >/dev/null 2>&1 || true
	fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# show prints a command of podrun and executes it.
show() {
	printf '\n# podrun %s\n' "$*"
	"$podrun" "$@"
}

if ! "$podrun" image ls | grep -q '^docker.io/library/busybox  *latest '; then
	imported=yes
	printf '\n# testdata/busybox.sh | podrun image import --change '\''CMD ["sh"]'\'' - %s\n' "$image"
	testdata/busybox.sh | "$podrun" image import --change 'CMD ["sh"]' - "$image"
fi
show up "$manifest"
show ps
# up returns when the shell has started, perhaps before it has said a word.
tries=0
while [ -z "$("$podrun" logs myapp-pod)" ] && [ $tries -lt 50 ]; do
	sleep 0.1
	tries=$((tries + 1))
done
show logs myapp-pod
# The pod's sleep is process 1 of its container: without a handler of its own it
# never sees SIGTERM, and would last for the whole grace period of 30 s.
show down --grace-period 1 "$manifest"

#!/usr/bin/env bash
# npm run check:fresh: proves the two commands (and the steps of docker/Dockerfile) on a machine with nothing but Debian 12, Node and a
# C++ compiler: a root file system made by mmdebstrap, a clean copy of HEAD in it, `npm start`, a record in and out, `npm test`.
#
#   scripts/check-fresh.sh [--keep] [--no-test] [--node=22]
#
# Needs root and mmdebstrap (apt-get install mmdebstrap). Packages come through apt and npm as they are configured on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

keep=false test=true node=22
for arg in "$@"; do
  case "$arg" in
    --keep) keep=true ;;
    --no-test) test=false ;;
    --node=*) node="${arg#--node=}" ;;
    *) echo "unknown argument $arg" >&2; exit 2 ;;
  esac
done
[ "$(id -u)" = 0 ] || { echo "check:fresh needs root (chroot and mounts)" >&2; exit 1; }
for port in 9092 9464; do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && { echo "port $port is in use" >&2; exit 1; }
done
command -v mmdebstrap >/dev/null || { echo "check:fresh needs mmdebstrap: apt-get install mmdebstrap" >&2; exit 1; }

work=$(mktemp -d /var/tmp/kafabric-fresh.XXXXXX)
fs="$work/root"
cleanup() {
  for dir in dev/shm dev; do mountpoint -q "$fs/$dir" && umount -l "$fs/$dir"; done
  $keep && echo "kept $fs" || rm -rf "$work"
}
trap cleanup EXIT

echo "== Debian 12 with a C++ compiler"
mmdebstrap --quiet --variant=minbase --include=g++,ca-certificates,git bookworm "$fs" >"$work/mmdebstrap.log" 2>&1 ||
  { tail -20 "$work/mmdebstrap.log"; exit 1; }

echo "== Node $node and npm from the npm registry"
mkdir -p "$work/npm" "$fs/usr/local/lib/node_modules"
npm pack --silent --pack-destination "$work/npm" "node-linux-$(node -p process.arch)@$node" npm@11 >/dev/null
tar -xzf "$work"/npm/node-*.tgz -C "$fs/usr/local" --strip-components=1 package/bin
mkdir -p "$fs/usr/local/lib/node_modules/npm"
tar -xzf "$work"/npm/npm-*.tgz -C "$fs/usr/local/lib/node_modules/npm" --strip-components=1
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$fs/usr/local/bin/npm"

# The machine's way to its registries: name resolution, certificates, npm's configuration.
cp -L /etc/resolv.conf /etc/hosts "$fs/etc/"
[ -f /etc/ssl/certs/ca-certificates.crt ] && cp -L /etc/ssl/certs/ca-certificates.crt "$fs/etc/ssl/certs/"
cp -r /etc/apt/sources.list* /etc/apt/apt.conf.d "$work/" 2>/dev/null || true
mount --rbind /dev "$fs/dev" && mount --make-rslave "$fs/dev"

mkdir -p "$fs/home/user/kafabric"
git archive HEAD | tar -x -C "$fs/home/user/kafabric"
in_root() {
  # In a process namespace of its own, so that nothing outlives the check.
  unshare --pid --fork --kill-child --mount-proc="$fs/proc" chroot "$fs" /usr/bin/env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8 \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt npm_config_cafile=/etc/ssl/certs/ca-certificates.crt \
    bash -c "cd /home/user/kafabric || exit 1
$1"
}
# Runs a start command in the background, waits until it is ready, puts records through it with kafkajs, ends it with SIGTERM.
prove_start() {
  in_root "$1"' >/tmp/start.log 2>&1 & pid=$!
  for i in $(seq 600); do
    node -e "fetch(\"http://127.0.0.1:9464/health/ready\").then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))" && break
    kill -0 $pid 2>/dev/null || { cat /tmp/start.log; exit 1; }
    sleep 1
  done
  (cd /home/user/kafabric/examples/kafkajs && npm install --silent && node quickstart.mjs) || { cat /tmp/start.log; exit 1; }
  kill -TERM $pid
  for i in $(seq 20); do grep -q "kafabric has stopped" /tmp/start.log && break; sleep 1; done
  tail -n 4 /tmp/start.log
  grep -q "kafabric has stopped" /tmp/start.log || { echo "it did not stop cleanly"; exit 1; }'
}

echo "== npm start"
prove_start 'npm start'

echo "== the steps of docker/Dockerfile"
rm -rf "$fs/var/lib/kafabric" # the data of the start before, which an image does not have
node scripts/dockerfile-steps.mjs docker/Dockerfile /home/user/kafabric >"$fs/tmp/dockerfile-steps.sh"
prove_start 'bash -e /tmp/dockerfile-steps.sh'

if $test; then
  echo "== npm test"
  in_root 'npm test'
fi
echo "== the two commands work on a fresh machine"

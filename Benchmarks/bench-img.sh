#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Times roost-img against qemu-img on the same files, in pairs, and prints the ratio of the best times and the peak
# memory of roost-img. usage: bench-img.sh [size in MiB] [rounds]; BENCH_DIR chooses the folder.
set -e
size=${1:-1024}
rounds=${2:-3}
dir=$(mktemp -d "${BENCH_DIR:-/var/tmp}/roost-bench.XXXXXX")
trap 'rm -rf "$dir"' EXIT
# As it is when installed: what the linker has written lies in the page cache page by page, which makes a start a third
# slower than that of a file that was copied or read from the disk.
roost=$dir/roost-img
cp "$(dirname "$0")/../.build/release/roost-img" "$roost"
command -v qemu-img > /dev/null || { echo "qemu-img is not installed: nothing to compare with"; exit 1; }

echo "Making $size MiB of data (half files of this system, a quarter noise, a quarter hole)..."
{ tar c --ignore-failed-read /usr/lib /usr/share 2> /dev/null || true; } | head -c $((size / 2))M > "$dir/data.raw"
head -c $((size / 4))M /dev/urandom >> "$dir/data.raw"
truncate -s "${size}M" "$dir/data.raw"
qemu-img convert -O qcow2 "$dir/data.raw" "$dir/data.qcow2"
qemu-img convert -c -O qcow2 "$dir/data.raw" "$dir/zlib.qcow2"
qemu-img convert -c -O qcow2 -o compression_type=zstd "$dir/data.raw" "$dir/zstd.qcow2"
qemu-img create -q -f qcow2 "$dir/big.qcow2" 1T
qemu-img create -q -f qcow2 -o preallocation=metadata,cluster_size=4k "$dir/million.qcow2" 4G

seconds() { # program arguments...: the time that it takes, in seconds
    local start end
    start=$(date +%s%N)
    "$@" > /dev/null || { echo "failed: $*" >&2; exit 1; }
    end=$(date +%s%N)
    echo "$(( (end - start) / 1000 ))"
}

compare() { # name limit arguments... (OUT stands for the output file)
    local name=$1 limit=$2 best_q=0 best_r=0 t memory
    shift 2
    for ((i = 0; i < rounds; i++)); do
        rm -f "$dir"/out.*; t=$(seconds qemu-img "${@//OUT/$dir/out.q}")
        if ((best_q == 0 || t < best_q)); then best_q=$t; fi
        rm -f "$dir"/out.*; t=$(seconds "$roost" "${@//OUT/$dir/out.r}")
        if ((best_r == 0 || t < best_r)); then best_r=$t; fi
    done
    rm -f "$dir"/out.*
    memory=$({ /usr/bin/time -f %M "$roost" "${@//OUT/$dir/out.r}" > /dev/null; } 2>&1 | tail -1)
    awk -v n="$name" -v q="$best_q" -v r="$best_r" -v l="$limit" -v m="$memory" 'BEGIN {
        printf "%-28s qemu-img %9.3f s  roost-img %9.3f s  ratio %5.2f (at most %s)%s  %s KiB\n",
            n, q / 1e6, r / 1e6, r / q, l, (r / q <= l ? "" : "  TOO SLOW"), m }'
}

compare "convert raw to qcow2" 0.9 convert -O qcow2 "$dir/data.raw" OUT
compare "convert qcow2 to raw" 0.9 convert -O raw "$dir/data.qcow2" OUT
compare "convert -c zlib" 0.33 convert -c -O qcow2 "$dir/data.raw" OUT
compare "convert -c zstd" 0.7 convert -c -O qcow2 -o compression_type=zstd "$dir/data.raw" OUT
compare "read zlib" 0.6 convert -O raw "$dir/zlib.qcow2" OUT
compare "read zstd" 0.6 convert -O raw "$dir/zstd.qcow2" OUT
compare "create 1 TiB" 0.5 create -q -f qcow2 OUT 1T
compare "info 1 TiB" 0.5 info "$dir/big.qcow2"
compare "check a million clusters" 0.5 check "$dir/million.qcow2"
compare "map a million clusters" 0.5 map --output=json "$dir/million.qcow2"
cp "$dir/big.qcow2" "$dir/snap.qcow2"
compare "snapshot 1 TiB" 0.5 snapshot -c s "$dir/snap.qcow2"

"$roost" convert -c -O qcow2 "$dir/data.raw" "$dir/size.qcow2"
qemu-img compare -q "$dir/size.qcow2" "$dir/data.raw"
echo "zlib size: qemu-img $(stat -c %s "$dir/zlib.qcow2"), roost-img $(stat -c %s "$dir/size.qcow2") bytes"

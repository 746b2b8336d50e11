#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Times roost-img against qemu-img on the same files, in interleaved pairs. Prints for each kind of work the medians of the
# elapsed time and of the processor's time (user and system, which a busy host disturbs less), their ratios and those of the
# best times, and the peak memory of roost-img (never less than that of the measuring program, 10 MiB). usage: bench-img.sh [size in MiB] [pairs]; BENCH_DIR chooses the folder, ONLY=text the work.
set -e
size=${1:-1024}
rounds=${2:-5}
dir=$(mktemp -d "${BENCH_DIR:-/var/tmp}/roost-bench.XXXXXX")
trap 'rm -rf "$dir"' EXIT
# As it is when installed: what the linker has written lies in the page cache page by page, which makes a start a third
# slower than that of a file that was copied or read from the disk.
roost=$dir/roost-img
cp "$(dirname "$0")/../.build/release/roost-img" "$roost"
command -v python3 > /dev/null || { echo "python3 is not installed: nothing to measure with"; exit 1; }
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

# The kernel's own figures, to the microsecond: time(1) rounds to hundredths of a second.
cat > "$dir/measure.py" << 'EOF'
import os, sys, time
start = time.monotonic()
child = os.fork()
if child == 0:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
elapsed = time.monotonic() - start
if status:
    sys.exit("failed: " + " ".join(sys.argv[1:]))
print("%.2f %.2f %d" % (elapsed * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3, usage.ru_maxrss))
EOF

measure() { # log program arguments...: adds "elapsed processor memory", in milliseconds and KiB
    local log=$1
    shift
    rm -f "$dir"/out.*
    python3 "$dir/measure.py" "$@" >> "$log"
}

# Short work is done several times in one measurement, for the clock's sake.
repeat() { # count program arguments...
    local count=$1
    shift
    for ((n = 0; n < count; n++)); do "$@"; done
}
export -f repeat

compare() { # name limit repetitions arguments... (OUT stands for the output file)
    local name=$1 limit=$2 count=$3 program
    shift 3
    case $name in *"${ONLY:-}"*) ;; *) return ;; esac
    rm -f "$dir"/log.*
    for ((i = 0; i < rounds; i++)); do
        for program in qemu-img "$roost"; do
            measure "$dir/log.${program##*/}" bash -c 'repeat "$@"' repeat "$count" "$program" "${@//OUT/$dir/out.x}"
        done
    done
    rm -f "$dir"/out.*
    awk -v n="$name" -v l="$limit" -v c="$count" '
        function median(list, count,   i, j, t) {
            for (i = 2; i <= count; i++) for (j = i; j > 1 && list[j] < list[j - 1]; j--) {
                t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
            return list[int((count + 1) / 2)]
        }
        { if (FNR == 1) file++; e[file, FNR] = $1; p[file, FNR] = $2; if (file == 2 && $3 > m) m = $3; k = FNR }
        END {
            for (f = 1; f <= 2; f++) {
                for (i = 1; i <= k; i++) { a[i] = e[f, i]; b[i] = p[f, i] }
                elapsed[f] = median(a, k) / c; busy[f] = median(b, k) / c
                # The lists are sorted now.
                least[f] = a[1]; idle[f] = b[1]
            }
            r = elapsed[2] / elapsed[1]; s = busy[2] / busy[1]
            printf "%-24s elapsed %8.1f %8.1f ms %5.2f (best %.2f)   processor %8.1f %8.1f ms %5.2f (best %.2f)" \
                "   at most %s%s  %d KiB\n", n, elapsed[1], elapsed[2], r, least[2] / least[1], busy[1], busy[2], s,
                idle[2] / idle[1], l, (r <= l ? "" : "  TOO SLOW"), m
        }' "$dir/log.qemu-img" "$dir/log.roost-img"
}

echo "                                 qemu-img roost-img    ratio                       qemu-img roost-img    ratio"
compare "convert raw to qcow2" 0.9 1 convert -O qcow2 "$dir/data.raw" OUT
compare "convert qcow2 to raw" 0.9 1 convert -O raw "$dir/data.qcow2" OUT
compare "convert -c zlib" 0.33 1 convert -c -O qcow2 "$dir/data.raw" OUT
compare "convert -c zstd" 0.7 1 convert -c -O qcow2 -o compression_type=zstd "$dir/data.raw" OUT
compare "read zlib" 0.6 1 convert -O raw "$dir/zlib.qcow2" OUT
compare "read zstd" 0.6 1 convert -O raw "$dir/zstd.qcow2" OUT
compare "create 1 TiB" 0.5 10 create -q -f qcow2 OUT 1T
compare "info 1 TiB" 0.5 10 info "$dir/big.qcow2"
compare "check a million clusters" 0.5 3 check "$dir/million.qcow2"
compare "map a million clusters" 0.5 1 map --output=json "$dir/million.qcow2"
cp "$dir/big.qcow2" "$dir/snap.qcow2"
compare "snapshot 1 TiB" 0.5 5 snapshot -c s "$dir/snap.qcow2"

"$roost" convert -c -O qcow2 "$dir/data.raw" "$dir/size.qcow2"
qemu-img compare -q "$dir/size.qcow2" "$dir/data.raw"
echo "zlib size: qemu-img $(stat -c %s "$dir/zlib.qcow2"), roost-img $(stat -c %s "$dir/size.qcow2") bytes"

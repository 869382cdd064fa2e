#!/bin/sh
# Puts one defect after the other into a copy of the protocol and requires that the simulator finds each of them.
#
#   Tests/simulate-defects.sh [SEEDS] [NAME]
#
# SEEDS (1,000) is how many seeds a defect may take to be found; NAME is a part of the names of the defects to try.
# A defect that no longer applies is a failure: then the code has changed, and this script has to follow.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
seeds=${1:-1000}
only=${2:-}
swift=${SWIFT:-swift}
copy=$(mktemp -d "${TMPDIR:-/tmp}/flowsync-defects.XXXXXX")
trap 'rm -rf "$copy"' EXIT INT TERM
export SWIFT_BACKTRACE=enable=no

cp -R "$root/Package.swift" "$root/Sources" "$root/Tests" "$copy/"
[ ! -e "$root/Package.resolved" ] || cp "$root/Package.resolved" "$copy/"
failures=0

build() {
    "$swift" build --package-path "$copy" --scratch-path "$copy/build" -c release --product flowsync-simulate \
        >"$copy/build.log" 2>&1 || { tail -20 "$copy/build.log" >&2; return 1; }
}

row() { printf '%-52s %-10s %s\n' "$1" "$2" "$3"; }

# try NAME FILE SED-SCRIPT
try() {
    case $1 in *"$only"*) ;; *) return 0 ;; esac
    file=$copy/Sources/$2
    cp "$file" "$copy/sound"
    sed -i -E "$3" "$file"
    if cmp -s "$file" "$copy/sound"; then
        row "$1" "stale" "the defect no longer applies to Sources/$2"
        failures=$((failures + 1))
        return 0
    fi
    if ! build; then
        row "$1" "stale" "with the defect the code no longer compiles"
        failures=$((failures + 1))
    elif timeout -s KILL 3600 "$copy/build/release/flowsync-simulate" --seeds "$seeds" >"$copy/found" 2>&1; then
        row "$1" "NOT FOUND" "in $seeds seeds"
        failures=$((failures + 1))
    else
        seed=$(sed -n 's/^seed \([0-9]*\) fails.*/\1/p' "$copy/found" | tail -1)
        rule=$(sed -n 's/^  broken: //p' "$copy/found" | tail -1)
        row "$1" "seed ${seed:-?}" "${rule:-$(tail -1 "$copy/found")}"
    fi
    cp "$copy/sound" "$file"
}

row DEFECT FOUND "BROKEN RULE"
if [ -z "$only" ]; then
    build
    if "$copy/build/release/flowsync-simulate" --seeds "$seeds" >"$copy/found" 2>&1; then
        row "none" "nothing" "in $seeds seeds"
    else
        cat "$copy/found" >&2
        echo "the simulator finds something in the sound code: that comes first" >&2
        exit 1
    fi
fi

try "an acknowledged range is dropped" Replication/Sender.swift \
    's/for range in ack\.ranges where/for range in ack.ranges.dropFirst() where/'
try "a range acknowledges one datagram too many" Replication/Sender.swift \
    's/acknowledge\(range, bit, &cache\)/acknowledge(range.lowerBound - 1..<range.upperBound, bit, \&cache)/'
try "what is lost is not sent again" Replication/Sender.swift \
    '/private mutating func lose/,/^    \}/ { s/cache\[slot\]\.flags\.insert\(\.queued\)/_ = slot/; /queue\.append\(slot\)/d; }'
try "an acknowledged tombstone is kept" Replication/Sender.swift \
    '/private mutating func settle/,/^    \}/ s/if header\.flags\.contains\(\.dead\) \{ cache\.settle\(slot\) \}//'
try "an older state is applied" FlowTable/ExternalCache.swift \
    's/return isOfThisEpoch \&\& header\.sequence >= origin\.sequence \? \.stale : nil/_ = isOfThisEpoch; return nil/'
try "a delete leaves no tombstone" Replication/ReplicationNode+Receive.swift \
    's/\[Slot\]\? = isInOrder \? nil/[Slot]? = isInOrder || isSequenced ? nil/'
try "the digest keeps a deleted flow" FlowTable/FlowTable.swift \
    '/public mutating func markDead/,/^    \}/ s/subtractDigest\(slot\)/_ = slot/'
try "the digest forgets a patched flow" FlowTable/FlowTable.swift \
    '/public mutating func patchRecord/,/^    \}/ { /addDigest\(slot\)/d; }'
try "equal numbers of flows count as equal flows" Replication/ReplicationNode+Repair.swift \
    's/if digest == body\.littleEndian\(at: 8, as: UInt64\.self\) \{/if flowCount == announcedFlowCount {_ = digest/'
try "a digest is compared while datagrams are missing" Replication/ReplicationNode+Repair.swift \
    's/guard peers\[index\]\.window\.cumulative == cumulative, !peers\[index\]\.window\.hasGap/guard cumulative > 0/'
try "an epoch is believed without proof" Replication/ReplicationNode+Session.swift \
    's/guard isProven else/guard isProven || header.epoch > 0 else/'
try "an echo of any challenge is good enough" Replication/Candidates.swift \
    's/hello\.echo == candidates\[index\]\.challenge/hello.echo != 0/'
try "a dump overrules events taken in since" FlowTable/InternalCache+Reconcile.swift \
    's/guard table\[slot\]\.touched \&\+ 1 < slice else \{ return nil \}//'

[ "$failures" -eq 0 ] || { echo "$failures defects were not found or could not be tried" >&2; exit 1; }

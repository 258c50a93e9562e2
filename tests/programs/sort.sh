#!/usr/bin/env bash
# sort (coreutils): several threads, in memory and with temporary files and merges, and its neighbours join, uniq, comm,
# shuf, split, tsort and od. Run by ./run.
. "$(dirname "$0")/lib.sh"
need sort

random_words "$(size 100000 1000)" 21 >words.txt
"${UNDER[@]}" sort --parallel=4 -k2 words.txt >by-word
"${UNDER[@]}" sort --parallel=4 -S 2M -T . -k3,3r -k1,1n words.txt >by-third
"${UNDER[@]}" sort --parallel=2 -S 4M --compress-program=gzip -T . -rn words.txt >by-number
"${UNDER[@]}" sort --parallel=4 -s -k2.2,2.4 -k4,4 words.txt >stable
"${UNDER[@]}" sort -m -k2 by-word <("${UNDER[@]}" sort -k2 by-third) | "${UNDER[@]}" uniq -c | checksum
"${UNDER[@]}" tr -s ' ' '\n' <words.txt | "${UNDER[@]}" sort --parallel=4 -u >distinct
"${UNDER[@]}" join -1 2 -2 1 <("${UNDER[@]}" sort -k2,2 words.txt) distinct | checksum
"${UNDER[@]}" sort words.txt | "${UNDER[@]}" comm -12 - <("${UNDER[@]}" sort by-word) | wc -l
"${UNDER[@]}" shuf --random-source=words.txt words.txt | checksum
"${UNDER[@]}" shuf --random-source=words.txt words.txt | "${UNDER[@]}" sort -V | checksum
"${UNDER[@]}" split -n l/7 words.txt part.
"${UNDER[@]}" awk '{ print $1 % 997, $1 % 997 + 1 + $1 % 31 }' words.txt | "${UNDER[@]}" tsort | checksum
"${UNDER[@]}" od -A d -t x8 by-third | "${UNDER[@]}" tac | checksum
checksum by-word by-third by-number stable distinct part.*

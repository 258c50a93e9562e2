#!/usr/bin/env bash
# awk (whichever the machine has): large associative arrays, string building, regular expressions; grep and sed on the same
# text. Run by ./run.
. "$(dirname "$0")/lib.sh"
need awk grep sed

random_words "$(size 60000 1000)" 31 >words.txt
"${UNDER[@]}" awk '
    { for (i = 2; i <= NF; i++) { count[$i]++; pair[$(i - 1), $i] = NR; text[length($i)] = text[length($i)] "," substr($i, 1, 2) } }
    NR % 5000 == 0 { for (key in pair) if (pair[key] < NR - 2500) delete pair[key] }
    END {
        for (word in count) { n++; sum += count[word] * length(word) }
        print NR, n, sum
        for (key in pair) left++
        print left
        for (l = 1; l <= 8; l++) { t = text[l]; hits = gsub(/e[at]/, "<&>", t); print l, length(t), hits, split(t, parts, /[aeiou]+,/) }
        for (word in count) print count[word], word | "sort -k1,1nr -k2 | head -n 30"
        close("sort -k1,1nr -k2 | head -n 30")
    }' words.txt
"${UNDER[@]}" grep -cE '(\b[a-z]+\b).*\b\1\b' words.txt
"${UNDER[@]}" grep -nwE 'e(at|tea)|t.{3,5}s' words.txt | checksum
tr ' ' '\n' <words.txt | grep '^[a-z]' | sort -u | sed -n "1,$(size 4000 100)p" >patterns
"${UNDER[@]}" grep -cwFf patterns words.txt
"${UNDER[@]}" sed -E 's/([a-z]+) ([a-z]+)/\2 \1/g; /^[0-9]*5 /{h;d}; /^[0-9]*6 /{G}; $!N; s/\n/ | /' words.txt | checksum
"${UNDER[@]}" sed -n 'H; ${x; s/\n/,/g; s/[0-9]\{2,\}/#/g; p}' words.txt | checksum

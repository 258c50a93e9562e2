#!/usr/bin/env bash
# bash: a long script of arrays, strings, substitutions, subshells, pipes, functions and regular expressions. Run by ./run.
. "$(dirname "$0")/lib.sh"
need bash

cat >script.bash <<'SCRIPT'
set -eu
n=$1

declare -A count
declare -a order
while read -r number words; do
    for word in $words; do
        [[ -v count[$word] ]] || order+=("$word")
        count[$word]=$((${count[$word]:-0} + number % 7))
    done
done <words.txt
echo "distinct ${#order[@]} ${#count[@]}"
for word in "${order[@]:0:40}"; do echo "$word ${count[$word]}"; done
for word in "${!count[@]}"; do echo "$word ${count[$word]}"; done | sort | sha256sum

fib() { if (($1 < 2)); then echo "$1"; else echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); fi; }
echo "fib $(fib 9)"

for ((i = 2; i < n; i++)); do composite[i]=0; done
for ((i = 2; i * i < n; i++)); do
    ((composite[i])) || for ((j = i * i; j < n; j += i)); do composite[j]=1; done
done
primes=0
for ((i = 2; i < n; i++)); do ((composite[i])) || primes=$((primes + 1)); done
echo "primes below $n: $primes"

text=
for ((i = 0; i < n / 4; i++)); do text+="<$i:${order[i % ${#order[@]}]}>"; done
echo "${#text} ${text: -30} ${text//[aeiou]/_}" | sha256sum
upper=${text^^}; echo "${upper:100:60}"
stripped=${text//<[0-9]*([0-9]):/}; echo "${#stripped}"
[[ $text =~ \<([0-9]+):([a-z]*ing[a-z]*)\> ]] && echo "match ${BASH_REMATCH[1]} ${BASH_REMATCH[2]}" || echo "no match"

mapfile -t lines <words.txt
sorted=("${lines[@]:0:400}")
for ((i = 1; i < ${#sorted[@]}; i++)); do
    key=${sorted[i]}
    for ((j = i - 1; j >= 0; j--)); do
        [[ ${sorted[j]#* } > ${key#* } ]] || break
        sorted[j + 1]=${sorted[j]}
    done
    sorted[j + 1]=$key
done
printf '%s\n' "${sorted[@]}" | sha256sum
paste -d: <(printf '%s\n' "${lines[@]:0:5}") <(printf '%03d\n' {1..5})
for i in {1..60}; do (x=$(printf '%*s' $((i * 100)) y); echo "${#x}"); done | awk '{ s += $1 } END { print s }'
eval "f() { cat <<END
$(printf '%s %s\n' {a..e}{1..50})
END
}"
f | sha256sum
trap 'echo "trapped $?"' EXIT
coproc { while read -r line; do echo "got $line"; done; }
echo hello >&"${COPROC[1]}"; read -r answer <&"${COPROC[0]}"; echo "$answer"
exit 3
SCRIPT

random_words "$(size 3000 300)" 11 >words.txt
status=0
"${UNDER[@]}" bash script.bash "$(size 20000 500)" || status=$?
echo "status $status"

#!/usr/bin/env bash
# g++: the standard library's templates instantiated in bulk, with optimisation and debug information, and run.
# Run by ./run.
. "$(dirname "$0")/lib.sh"
need g++
. "$(dirname "$0")/sources.inc"

write_cxx_source "$(size 2 1)" >big.cc
"${UNDER[@]}" g++ -std=c++17 -O2 -g -S -o big.s big.cc
checksum big.s
"${UNDER[@]}" g++ -std=c++17 -O0 -D_GLIBCXX_DEBUG -c -o debug.o big.cc
checksum debug.o
"${UNDER[@]}" g++ -std=c++17 -O2 -pthread -o big big.cc
"${UNDER[@]}" ./big "$(size 20 1)"
echo '#include <map>
std::map<int, struct undefined> m; int main() { return m.begin()->second.x + "a"; }' >wrong.cc
"${UNDER[@]}" g++ -std=c++17 -c wrong.cc 2>&1 | checksum || echo "status $?"

#!/usr/bin/env bash
# clang: the same C and C++ sources as gcc and g++ get, compiled to assembly, IR and objects, linked and run. Run by ./run.
. "$(dirname "$0")/lib.sh"
need clang g++
. "$(dirname "$0")/sources.inc"

write_c_source "$(size 80 10)" >big.c
"${UNDER[@]}" clang -std=gnu11 -O2 -g -S -o big.s big.c
"${UNDER[@]}" clang -std=gnu11 -O1 -S -emit-llvm -o big.ll big.c
checksum big.s big.ll
"${UNDER[@]}" clang -std=gnu11 -O2 -o big big.c
"${UNDER[@]}" ./big
own_sources | while read -r source; do
    "${UNDER[@]}" clang -std=gnu11 -O2 -w -S -I"$SOURCE" -I"$SOURCE/src" -I"$SOURCE/include" -o own.s "$SOURCE/$source" 2>/dev/null || true
    [ ! -e own.s ] || echo "$source $(checksum own.s)"
    rm -f own.s
done
write_cxx_source "$(size 2 1)" >big.cc
"${UNDER[@]}" clang -x c++ -std=c++17 -O2 -c -o cxx.o big.cc
checksum cxx.o
"${UNDER[@]}" clang -o cxx cxx.o -lstdc++ -lm -pthread
"${UNDER[@]}" ./cxx "$(size 20 1)"

#!/usr/bin/env bash
# make: a parallel build of a generated tree with pattern rules, functions, includes and recursion. Run by ./run.
. "$(dirname "$0")/lib.sh"
need make gcc

files=$(size 60 6)
mkdir tree
cd tree
for ((i = 0; i < files; i++)); do
    echo "int f$i(int x) { int s = 0; for (int i = 0; i < x; i++) s += i % ($i + 1); return s; }" >"f$i.c"
done
{
    echo '#include <stdio.h>'
    for ((i = 0; i < files; i++)); do echo "int f$i(int);"; done
    echo 'int main(void) { long s = 0;'
    for ((i = 0; i < files; i++)); do echo "s += f$i($i * 10);"; done
    echo 'printf("%ld\n", s); return 0; }'
} >main.c
cat >Makefile <<'END'
SOURCES := $(sort $(wildcard *.c))
OBJECTS := $(SOURCES:.c=.o)
CFLAGS := -O1 -MMD
list = $(foreach n,$(1),$(if $(filter f%,$(n)),[$(basename $(n))],<$(n)>))
NUMBERS := $(shell awk 'BEGIN { for (i = 0; i < 3000; i++) print i }')
define rule
out/$(1).txt: | out
	@echo "$(1) $$(words $(NUMBERS)) $$(call list,$(SOURCES))" >$$@
endef
all: program texts sub
program: $(OBJECTS)
	@gcc -o $@ $^
%.o: %.c
	@gcc $(CFLAGS) -c -o $@ $<
$(foreach n,$(wordlist 1,150,$(NUMBERS)),$(eval $(call rule,$(n))))
texts: $(foreach n,$(wordlist 1,150,$(NUMBERS)),out/$(n).txt)
out: ; @mkdir -p $@
sub: ; @$(MAKE) --no-print-directory -f sub.mk
.PHONY: all texts sub
-include $(OBJECTS:.o=.d)
END
cat >sub.mk <<'END'
N := $(shell seq 1 400)
all: $(N:%=step%) ; @echo $(words $(filter-out %7,$(N))) $(lastword $(sort $(patsubst %,%x,$(N))))
step%: ; @test $* -gt 0
END
"${UNDER[@]}" make -j4 all
"${UNDER[@]}" make -j4 all
./program
cat out/*.txt | checksum
"${UNDER[@]}" make -pnq -f sub.mk 2>/dev/null | grep -c '^step' || true
touch f1.c
"${UNDER[@]}" make -n program
"${UNDER[@]}" make -j4 missing 2>&1 || echo "status $?"

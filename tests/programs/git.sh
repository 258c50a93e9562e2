#!/usr/bin/env bash
# git: import of several hundred commits, then clone, merge, rebase, blame, log, gc, repack, fsck with several threads.
# Run by ./run.
. "$(dirname "$0")/lib.sh"
need git

commits=$(size 700 40)
cat >.gitconfig <<'END'
[user]
    name = A Tester
    email = tester@example.org
[init]
    defaultBranch = main
[pack]
    threads = 4
[gc]
    auto = 0
[maintenance]
    auto = false
[advice]
    detachedHead = false
[safe]
    directory = *
END
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000' GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
git() { "${UNDER[@]}" git "$@"; }

# A fast-import stream: each commit changes a few of 60 files, every 50th one is on a branch of its own.
random_words 4000 17 | awk -v commits="$commits" '
    function next_random() { seed = (seed * 16807) % 2147483647; return seed }
    function data(text) { printf "data %d\n%s\n", length(text), text }
    BEGIN { seed = 99; files = 60; branches = 0 }
    { line[NR] = $0 }
    END {
        for (f = 0; f < files; f++) for (l = 1; l <= 80; l++) body[f, l] = line[(f * 61 + l) % NR + 1]
        for (c = 1; c <= commits; c++) {
            print "commit refs/heads/main\nmark :" c
            printf "committer A Tester <tester@example.org> %d +0000\n", 1600000000 + c * 600
            data("change " c "\n\n" line[c % NR + 1])
            changes = c == 1 ? files : next_random() % 3 + 1
            for (k = 0; k < changes; k++) {
                f = c == 1 ? k : next_random() % files
                if (c > 1) body[f, next_random() % 80 + 1] = line[next_random() % NR + 1]
                text = ""
                for (l = 1; l <= 80; l++) text = text body[f, l] "\n"
                printf "M 100644 inline dir%d/sub%d/file%d.txt\n", f % 5, f % 3, f
                data(text)
            }
            if (c % 50 == 0) {
                print "commit refs/heads/side" ++branches
                printf "committer A Tester <tester@example.org> %d +0000\n", 1600000000 + c * 600 + 1
                data("side " branches)
                print "from :" c
                print "M 100644 inline side/" branches ".txt"
                data(line[branches] "\n")
                print ""
            }
        }
        print "done"
    }' >stream

git init -q origin
git -C origin fast-import --quiet --done <stream
git -C origin log --oneline main | wc -l
git -C origin rev-parse main
git -C origin for-each-ref --format='%(refname) %(objectname)' | checksum
git clone -q --no-local origin copy
cd copy
git fsck --full --strict 2>/dev/null
git branch -r | sort
git log --stat --format='%H %s' | checksum
git log -S'the' --format=%h -- dir1 | wc -l
git log -p -M --all --topo-order --word-diff=porcelain -n 150 | checksum
git blame -C dir0/sub0/file0.txt | checksum
git grep --threads 4 -c 'ea[st]' main~20 -- '*.txt' | checksum
for branch in $(git branch -r | sed -n 's|^ *origin/\(side.*\)|\1|p' | head -n "$(size 10 2)"); do
    git merge -q --no-edit "origin/$branch" >/dev/null
done
git rev-parse 'HEAD^{tree}'
git checkout -q -b topic main~5
for i in 1 2 3 4 5 6; do
    random_words 200 "$i" >"topic$i.txt"
    git add .
    git commit -q -m "topic $i"
done
git rebase -q main
git diff --stat main | tail -n 1
git rev-parse 'HEAD^{tree}'
git stash list | wc -l
git archive --format=tar HEAD | checksum
git gc -q --aggressive --prune=now
git count-objects -v | sed -n '/^\(count\|in-pack\|packs\|garbage\)/p'
git fsck --full
git repack -q -a -d -f --depth=20 --window=20
git verify-pack -v .git/objects/pack/*.idx | awk '$2 ~ /^(commit|tree|blob|tag)$/ { n[$2]++; s[$2] += $3 } END { for (t in n) print t, n[t] }' | sort
git rev-list --objects --all | sort | checksum
cd ..
git clone -q --bare --depth 30 "file://$WORK/copy" shallow.git
git -C shallow.git rev-list --all --count
git -C shallow.git fsck

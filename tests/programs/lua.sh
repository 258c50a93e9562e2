#!/usr/bin/env bash
# lua: tables, strings, closures, coroutines and the garbage collector in both its modes. Run by ./run.
. "$(dirname "$0")/lib.sh"
need lua5.4

cat >work.lua <<'SCRIPT'
local scale = tonumber(arg[1])
local seed = 7
local function random(n) seed = (seed * 16807) % 2147483647; return seed % n end
local function digest(s)
    local a, b = 1, 0
    for i = 1, #s do a = (a + s:byte(i)) % 65521; b = (b + a) % 65521 end
    return string.format("%04x%04x %d", b, a, #s)
end

local function tree(depth) if depth == 0 then return {} end return { tree(depth - 1), tree(depth - 1) } end
local function count(t) if not t[1] then return 1 end return 1 + count(t[1]) + count(t[2]) end

for _, mode in ipairs { "incremental", "generational" } do
    collectgarbage(mode)
    print(mode)
    local kept = {}
    for depth = 4, 14 do
        local nodes = 0
        for _ = 1, scale do nodes = nodes + count(tree(depth)) end
        kept[#kept + 1] = tree(depth)
        print(depth, nodes)
    end
    local strings, slots = {}, 4000
    for i = 1, scale * 20000 do
        local slot = random(slots) + 1
        if strings[slot] and i % 3 == 0 then strings[slot] = nil
        else strings[slot] = string.rep(string.char(97 + random(26)), random(600)) .. i end
    end
    local parts = {}
    for i = 1, slots do parts[#parts + 1] = strings[i] or "-" end
    print(digest(table.concat(parts, ",")))
    local words = {}
    for i = 1, scale * 4000 do words[i] = string.format("%05x-%d", random(1048576), i) end
    table.sort(words)
    print(words[1], words[#words], digest(table.concat(words)))
    local text = table.concat(words, " ")
    print(digest((text:gsub("(%x+)%-(%d+)", "%2+%1"))), select(2, text:gsub("a%x*f", "")))
    local producers = {}
    for i = 1, 200 do
        producers[i] = coroutine.wrap(function() for k = 1, 50 do coroutine.yield(("%d:%d"):format(i, k)) end return nil end)
    end
    local total = 0
    for _ = 1, 50 do for i = 1, 200 do total = total + #producers[i]() end end
    print(total, #kept)
    local weak = setmetatable({}, { __mode = "v" })
    for i = 1, 1000 do weak[i] = { i } end
    collectgarbage(); collectgarbage()
    print(#weak == 0 or next(weak) == nil)
end
print(pcall(error, { code = 5 }) == false, select("#", table.unpack({}, 1, 200)))
SCRIPT

"${UNDER[@]}" lua5.4 work.lua "$(size 12 1)"

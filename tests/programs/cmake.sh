#!/usr/bin/env bash
# cmake: configure a generated project of C and C++ libraries, build it in parallel, and run it. Run by ./run.
. "$(dirname "$0")/lib.sh"
need cmake make gcc g++

libraries=$(size 6 1)
mkdir project
cat >project/CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.16)
project(generated C CXX)
find_package(Threads REQUIRED)
set(all "")
foreach(i RANGE 1 $libraries)
    file(WRITE \${CMAKE_BINARY_DIR}/gen\${i}.cc "#include <string>\n#include <map>\nint g\${i}() { std::map<std::string, int> m; m[\"\${i}\"] = \${i}; return m.begin()->second; }\n")
    add_library(lib\${i} STATIC \${CMAKE_BINARY_DIR}/gen\${i}.cc)
    list(APPEND all lib\${i})
    string(APPEND declarations "int g\${i}();\n")
    string(APPEND calls " + g\${i}()")
endforeach()
configure_file(main.cc.in main.cc)
add_executable(program \${CMAKE_BINARY_DIR}/main.cc)
target_link_libraries(program \${all} Threads::Threads)
foreach(i RANGE 1 2000)
    math(EXPR square "\${i} * \${i}")
    list(APPEND squares \${square})
endforeach()
list(SORT squares)
string(REGEX REPLACE "([0-9])([0-9]);" "\\\\2\\\\1," mixed "\${squares}")
string(SHA256 digest "\${mixed}")
message("digest \${digest}")
END
printf '%s\n' '#include <iostream>' '@declarations@' 'int main() { std::cout << 0@calls@ << std::endl; }' >project/main.cc.in
"${UNDER[@]}" cmake -G 'Unix Makefiles' -S project -B out 2>&1 | sed '/(.*s)$/d'
"${UNDER[@]}" cmake --build out --parallel 4 >build.log
grep -c Built build.log
"${UNDER[@]}" out/program

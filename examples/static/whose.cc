// Whose operator new is it?  As whose.c, for every operator new and delete of C++17, and for the library's own containers.
#include "whose.h"

#include <new>
#include <string>
#include <vector>

namespace {

constexpr std::size_t size = 100;
constexpr std::align_val_t align{64};

std::string *a_string()
{
    return new (std::nothrow) std::string("one that is too long to be kept inside the object itself");
}

// The buffer of a container that nobody frees but the release below.
void *by_string() { return const_cast<char *>(a_string()->data()); }
void *by_vector() { return (new std::vector<int>(size))->data(); }

const maker makers[] = {
    {"new", [] { return ::operator new(size); }, [](void *p) { ::operator delete(p); }},
    {"new[]", [] { return ::operator new[](size); }, [](void *p) { ::operator delete[](p); }},
    {"new(nothrow)", [] { return ::operator new(size, std::nothrow); }, [](void *p) { ::operator delete(p, std::nothrow); }},
    {"new[](nothrow)", [] { return ::operator new[](size, std::nothrow); },
     [](void *p) { ::operator delete[](p, std::nothrow); }},
    {"new(align)", [] { return ::operator new(size, align); }, [](void *p) { ::operator delete(p, align); }},
    {"new[](align)", [] { return ::operator new[](size, align); }, [](void *p) { ::operator delete[](p, align); }},
    {"new(align, nothrow)", [] { return ::operator new(size, align, std::nothrow); },
     [](void *p) { ::operator delete(p, align, std::nothrow); }},
    {"new[](align, nothrow)", [] { return ::operator new[](size, align, std::nothrow); },
     [](void *p) { ::operator delete[](p, align, std::nothrow); }},
    {"sized delete", [] { return ::operator new(size); }, [](void *p) { ::operator delete(p, size); }},
    {"sized delete[]", [] { return ::operator new[](size); }, [](void *p) { ::operator delete[](p, size); }},
    {"sized delete(align)", [] { return ::operator new(size, align); }, [](void *p) { ::operator delete(p, size, align); }},
    {"sized delete[](align)", [] { return ::operator new[](size, align); },
     [](void *p) { ::operator delete[](p, size, align); }},
    {"std::string", by_string, [](void *p) { ::operator delete(p); }},
    {"std::vector", by_vector, [](void *p) { ::operator delete(p); }},
    {"malloc", [] { return std::malloc(size); }, std::free},
};

} // namespace

int main() { return report(makers, sizeof makers / sizeof *makers); }

/* catch (...) in C: a frame in assembly whose personality routine is ours.  In the search phase that routine says that
   the frame handles whatever comes; in the second phase it sends the unwinder to the landing pad, which has the
   exception destroyed and returns false.  (Itanium C++ ABI: Exception Handling, 1.6 and 2.5; the unwinder's and the C++
   library's functions are found when they are needed, as nothing here may depend on them.) */
#ifndef VM_PREFIX

#include "api/catch.h"

#include <dlfcn.h>
#include <unwind.h>

extern __typeof__(_Unwind_SetGR) _Unwind_SetGR __attribute__((weak));
extern __typeof__(_Unwind_SetIP) _Unwind_SetIP __attribute__((weak));
extern void *__cxa_begin_catch(void *exception) __attribute__((weak));
extern void __cxa_end_catch(void) __attribute__((weak));

extern VM_HIDDEN char vm_catch_landing[];

/* Both are named in the assembly below only. */
VM_HIDDEN __attribute__((used)) _Unwind_Reason_Code vm_catch_personality(int version, _Unwind_Action actions,
                                                                         _Unwind_Exception_Class class,
                                                                         struct _Unwind_Exception *exception,
                                                                         struct _Unwind_Context *context);
VM_HIDDEN __attribute__((used)) void vm_catch_destroy(struct _Unwind_Exception *exception);

VM_COLD void *vm_find_in_cxx_library(void *weak, const char *name)
{
    static const char *const libraries[] = {"libstdc++.so.6", "libc++.so.1", "libc++abi.so.1", "libgcc_s.so.1"};
    void *found = weak ? weak : dlsym(RTLD_DEFAULT, name);

    for (size_t i = 0; !found && i < sizeof libraries / sizeof *libraries; i++) {
        void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
        found = library ? dlsym(library, name) : NULL;
        if (library)
            dlclose(library);
    }
    return found;
}

VM_COLD _Unwind_Reason_Code vm_catch_personality(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
                                                 struct _Unwind_Exception *exception, struct _Unwind_Context *context)
{
    (void)version;
    (void)class;
    if (actions & _UA_SEARCH_PHASE)
        return _URC_HANDLER_FOUND;
    if (!(actions & _UA_HANDLER_FRAME))
        return _URC_CONTINUE_UNWIND; /* a thread that is cancelled: there is nothing to clean up */

    __typeof__(_Unwind_SetGR) *set_register = vm_find_in_cxx_library((void *)_Unwind_SetGR, "_Unwind_SetGR");
    __typeof__(_Unwind_SetIP) *set_ip = vm_find_in_cxx_library((void *)_Unwind_SetIP, "_Unwind_SetIP");
    if (!set_register || !set_ip)
        return _URC_FATAL_PHASE2_ERROR;
    set_register(context, __builtin_eh_return_data_regno(0), (_Unwind_Word)(uintptr_t)exception);
    set_ip(context, (_Unwind_Ptr)vm_catch_landing);
    return _URC_INSTALL_CONTEXT;
}

VM_COLD void vm_catch_destroy(struct _Unwind_Exception *exception)
{
    void *(*begin)(void *) = vm_find_in_cxx_library((void *)__cxa_begin_catch, "__cxa_begin_catch");
    void (*end)(void) = vm_find_in_cxx_library((void *)__cxa_end_catch, "__cxa_end_catch");

    if (begin && end) { /* without them it is not C++'s, and leaks */
        begin(exception);
        end();
    }
}

/* 0x1b: the personality routine's address is given relative to its place, in 4 bytes. */
#if defined(__x86_64__)
__asm__(".text\n"
        ".globl vm_call_catching\n.hidden vm_call_catching\n.type vm_call_catching, @function\n"
        ".globl vm_catch_landing\n.hidden vm_catch_landing\n"
        "vm_call_catching:\n"
        ".cfi_startproc\n"
        ".cfi_personality 0x1b, vm_catch_personality\n"
        "sub $8, %rsp\n"
        ".cfi_def_cfa_offset 16\n"
        "call *%rdi\n"
        "mov $1, %eax\n"
        "jmp 1f\n"
        "vm_catch_landing:\n" /* rax: the exception */
        "mov %rax, %rdi\n"
        "call vm_catch_destroy\n"
        "xor %eax, %eax\n"
        "1: add $8, %rsp\n"
        ".cfi_def_cfa_offset 8\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size vm_call_catching, . - vm_call_catching\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl vm_call_catching\n.hidden vm_call_catching\n.type vm_call_catching, %function\n"
        ".globl vm_catch_landing\n.hidden vm_catch_landing\n"
        "vm_call_catching:\n"
        ".cfi_startproc\n"
        ".cfi_personality 0x1b, vm_catch_personality\n"
        "stp x29, x30, [sp, -16]!\n"
        ".cfi_def_cfa_offset 16\n"
        ".cfi_offset 29, -16\n"
        ".cfi_offset 30, -8\n"
        "blr x0\n"
        "mov w0, 1\n"
        "b 1f\n"
        "vm_catch_landing:\n" /* x0: the exception */
        "bl vm_catch_destroy\n"
        "mov w0, 0\n"
        "1: ldp x29, x30, [sp], 16\n"
        ".cfi_restore 29\n"
        ".cfi_restore 30\n"
        ".cfi_def_cfa_offset 0\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size vm_call_catching, . - vm_call_catching\n");
#endif

#endif

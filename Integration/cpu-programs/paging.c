// SPDX-License-Identifier: Apache-2.0
//
// Paging of 64-bit mode: every combination of rights in the entries of two levels, of access, and of the modes that
// change them, against a model of the manual's rules; then the particular cases.
#include "program.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, LARGE = 0x80, G = 0x100 };
#define NX ((u64)1 << 63)
#define AREA ((u8 *)0x100000000000) // its own entry of the top level

static u64 upper[512] __attribute__((aligned(4096))), middle[512] __attribute__((aligned(4096)));
static u64 leaf[512] __attribute__((aligned(4096)));
static u8 page[8192] __attribute__((aligned(4096)));

static bool has_smep, has_smap, has_keys;

enum mode { READ, WRITE, FETCH };
static struct {
    u64 table_rights, leaf_rights;
    bool wp, smep, smap, ac, nxe, user, large;
    enum mode mode;
    int key_rights;
} now;

static int fault;
static word fault_error;
extern char user_return[];
static void on_fault(struct frame *frame) {
    fault = 1;
    fault_error = frame->error;
    if ((frame->cs & 3) == 3) asm volatile("jmp user_return");
    if (frame->ip == (word)AREA) {
        // A fetch: back to the caller.
        frame->ip = *(word *)frame->sp;
        frame->sp += 8;
        return;
    }
    frame->ip = trap_resume;
    trap_resume = 0;
}

static word touch(word mode) {
    if (mode == READ) return *(volatile u8 *)AREA;
    if (mode == WRITE) *(volatile u8 *)AREA = 0xC3;
    if (mode == FETCH) asm volatile("call *%0" ::"r"(AREA) : "memory");
    return 0;
}

static word stack_before;
/// Touches; a fault comes back here.
static void guarded_touch(enum mode mode) {
    asm volatile("mov %%rsp, %0\n leaq 1f(%%rip), %%rax\n movq %%rax, trap_resume(%%rip)\n call *%2\n 1: mov %0, %%rsp"
                 : "+m"(stack_before)
                 : "D"((word)mode), "r"(touch)
                 : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "memory", "cc");
    trap_resume = 0;
}

/// The error code of a fault, or -1.
static int expected(void) {
    u64 rights = now.table_rights & now.leaf_rights;
    bool denied_execution = (now.table_rights | now.leaf_rights) >> 63;
    int code = now.user ? 4 : 0;
    if (now.mode == WRITE) code |= 2;
    if (now.mode == FETCH && (now.nxe || now.smep)) code |= 16;
    if (!(now.table_rights & P)) return code;
    // Without NXE the bit is reserved, in each entry by itself.
    if (!now.nxe && now.table_rights & NX) return code | 9;
    if (!now.large) {
        if (!(now.leaf_rights & P)) return code;
        if (!now.nxe && now.leaf_rights & NX) return code | 9;
    } else {
        rights = now.table_rights;
        denied_execution = now.table_rights >> 63;
    }
    bool user_page = rights & U;
    int refusal = code | 1;
    if (user_page && now.mode != FETCH && now.key_rights) {
        bool stops_write = now.key_rights & 2 && now.mode == WRITE && (now.user || now.wp);
        if (now.key_rights & 1 || stops_write) refusal |= 32;
    }
    if (refusal & 32) return refusal;
    if (now.user && !user_page) return refusal;
    if (now.mode == FETCH) {
        if (denied_execution && now.nxe) return refusal;
        if (!now.user && user_page && now.smep) return refusal;
        return -1;
    }
    if (!now.user && user_page && now.smap && !now.ac) return refusal;
    if (now.mode == WRITE && !(rights & W) && (now.user || now.wp)) return refusal;
    return -1;
}

static void set_modes(void) {
    word cr0 = read_cr0() & ~(word)0x10000;
    write_cr0(now.wp ? cr0 | 0x10000 : cr0);
    word cr4 = read_cr4() & ~(word)0x700000;
    write_cr4(cr4 | (now.smep ? 1 << 20 : 0) | (now.smap ? 1 << 21 : 0) | (has_keys ? 1 << 22 : 0));
    u64 efer = read_msr(0xC0000080) & ~(u64)0x800;
    write_msr(0xC0000080, now.nxe ? efer | 0x800 : efer);
}

static int bad;
static void one(void) {
    u64 key = has_keys ? (u64)1 << 59 : 0;
    page[0] = 0xC3;
    if (now.large) {
        middle[0] = now.table_rights | LARGE | key | ((word)page & ~(word)0x1FFFFF);
    } else {
        middle[0] = now.table_rights | (word)leaf;
        leaf[0] = now.leaf_rights | key | (word)page;
    }
    // The large page begins before the page that is touched; its first byte is put aside.
    static u8 *place;
    place = now.large ? (u8 *)((word)page & ~(word)0x1FFFFF) : page;
    u8 kept = *place;
    *place = 0xC3;
    invalidate(AREA);
    fault = 0;
    if (has_keys) asm volatile("wrpkru" ::"a"(now.key_rights << 2), "c"(0), "d"(0));
    if (now.user) {
        run_user(touch, now.mode);
    } else {
        if (now.ac) asm volatile("pushfq\n orl $0x40000, (%%rsp)\n popfq" ::: "memory", "cc");
        guarded_touch(now.mode);
        asm volatile("pushfq\n andl $~0x40000, (%%rsp)\n popfq" ::: "memory", "cc");
    }
    *place = kept;
    int wanted = expected();
    int found = fault ? (int)fault_error : -1;
    u64 last = now.large ? middle[0] : leaf[0];
    bool marks = true;
    if (wanted < 0) marks = last & A && (now.mode != WRITE || last & D) && (now.large || middle[0] & A);
    if (now.mode != WRITE && !(now.leaf_rights & D) && !now.large) marks = marks && !(leaf[0] & D);
    if (wanted >= 0 && !now.large) marks = marks && !((leaf[0] ^ now.leaf_rights) & (A | D));
    if ((wanted != found || !marks) && bad++ < 10)
        print("     table %p leaf %p wp %d smep %d smap %d ac %d nxe %d user %d large %d mode %d key %d: %d, wanted %d; entries %p %p\n",
              now.table_rights, now.leaf_rights, now.wp, now.smep, now.smap, now.ac, now.nxe, now.user, now.large,
              now.mode, now.key_rights, found, wanted, middle[0], leaf[0]);
}

TEST(combinations) {
    u32 cases = 0;
    for (u32 bits = 0; bits < 1 << 14; bits++) {
        now.table_rights = (bits & 1 ? P : 0) | (bits & 2 ? W : 0) | (bits & 4 ? U : 0) | (bits & 8 ? NX : 0);
        now.large = bits >> 4 & 1;
        now.leaf_rights = (bits >> 5 & 1 ? P : 0) | (bits >> 6 & 1 ? W : 0) | (bits >> 7 & 1 ? U : 0) | (bits >> 8 & 1 ? NX : 0);
        now.wp = bits >> 9 & 1;
        now.smep = bits >> 10 & 1 && has_smep;
        now.smap = bits >> 11 & 1 && has_smap;
        now.nxe = bits >> 12 & 1;
        now.user = bits >> 13 & 1;
        if (now.large && (bits >> 5 & 15)) continue;
        // The kernel itself lies on user pages here, which these two would keep it from: they have a test of their own.
        if (now.smep || now.smap) continue;
        for (now.mode = READ; now.mode <= FETCH; now.mode++) {
            for (now.key_rights = 0; now.key_rights < (has_keys ? 4 : 1); now.key_rights++) {
                now.ac = false;
                set_modes();
                one();
                cases++;
            }
        }
    }
    now.wp = true, now.smep = now.smap = false, now.nxe = true;
    set_modes();
    print("%d cases\n", (int)cases);
    check(bad == 0, "combinations of rights");
}

/// Kernel pages become supervisor pages, so that SMEP and SMAP can be on.
static void kernel_pages(bool supervisor) {
    for (int index = 0; index < 4; index++) level2[index] = supervisor ? level2[index] & ~(u64)U : level2[index] | U;
    write_cr3(read_cr3());
}

TEST(supervisor_protection) {
    if (!has_smep || !has_smap) return;
    kernel_pages(true);
    bad = 0;
    now.large = false, now.user = false, now.nxe = true, now.key_rights = 0;
    for (u32 bits = 0; bits < 1 << 7; bits++) {
        now.table_rights = P | (bits & 1 ? W : 0) | U;
        now.leaf_rights = P | (bits & 2 ? W : 0) | (bits & 4 ? U : 0);
        now.smep = bits & 8, now.smap = bits & 16, now.ac = bits & 32, now.wp = bits & 64;
        for (now.mode = READ; now.mode <= FETCH; now.mode++) {
            set_modes();
            one();
        }
    }
    now.wp = true, now.smep = now.smap = false;
    set_modes();
    kernel_pages(false);
    check(bad == 0, "SMEP and SMAP");
}

static int try_access(enum mode mode) {
    fault = 0;
    guarded_touch(mode);
    return fault ? (int)fault_error : -1;
}

TEST(reserved_bits) {
    u64 width = cpuid_word(0x80000008, 0, 0) & 0xFF;
    middle[0] = P | W | U | (word)leaf;
    for (u64 bit = width; bit < 52; bit++) {
        leaf[0] = P | W | U | (word)page | (u64)1 << bit;
        invalidate(AREA);
        check_equal((u64)try_access(READ), 9, "reserved address bit of the leaf");
    }
    leaf[0] = P | W | U | (word)page | (u64)7 << 52;
    invalidate(AREA);
    check_equal((u64)(int64_t)try_access(READ), (u64)-1, "ignored bits");
    middle[0] = P | W | U | LARGE | ((word)page & ~(word)0x1FFFFF) | 1 << 13;
    invalidate(AREA);
    check_equal((u64)try_access(WRITE), 11, "reserved bit of a large page");
    upper[0] = P | W | U | (word)middle | LARGE;
    invalidate(AREA);
    int found = try_access(READ);
    if (has(0x80000001, 3, 26)) check(found == -1 || found == 9, "1 GiB page");
    else check(found == 9, "the page-size bit at the third level without 1 GiB pages");
    upper[0] = P | W | U | (word)middle;
    middle[0] = P | W | U | (word)leaf;
    u64 top = level4[32];
    level4[32] = top | LARGE;
    invalidate(AREA);
    check_equal((u64)try_access(READ), 9, "the page-size bit at the top level");
    level4[32] = top;
    invalidate(AREA);
}

TEST(caching) {
    // Without invalidation an old right may stay; after it the new one counts.
    leaf[0] = P | W | U | (word)page;
    invalidate(AREA);
    *(volatile u8 *)AREA = 1;
    leaf[0] = P | U | A | (word)page;
    invalidate(AREA);
    check_equal((u64)try_access(WRITE), 3, "INVLPG takes the right to write away");
    leaf[0] = 0;
    write_cr3(read_cr3());
    check_equal((u64)try_access(READ), 0, "CR3 takes the page away");
    // More rights come without invalidation: a fault looks again.
    leaf[0] = P | W | U | (word)page;
    check_equal((u64)(int64_t)try_access(WRITE), (u64)-1, "a page that came needs no invalidation");
    // Global pages survive CR3 but not CR4.PGE.
    write_cr4(read_cr4() | 0x80);
    page[0] = 11;
    page[4096] = 22;
    leaf[0] = P | W | U | G | (word)page;
    invalidate(AREA);
    check(*(volatile u8 *)AREA == 11, "global page");
    leaf[0] = P | W | U | (word)(page + 4096);
    write_cr4(read_cr4() & ~(word)0x80);
    check(*(volatile u8 *)AREA == 22, "CR4.PGE drops global pages");
    // The accessed and dirty bits come where they were cleared and the page was invalidated.
    leaf[0] = P | W | U | (word)page;
    invalidate(AREA);
    (void)*(volatile u8 *)AREA;
    check((leaf[0] & (A | D)) == A, "a load sets A");
    *(volatile u8 *)AREA = 1;
    check((leaf[0] & (A | D)) == (A | D), "a store sets D");
    // An aliased page table entry changes what is read through it.
    leaf[1] = P | W | U | (word)leaf;
    invalidate(AREA + 4096);
    u64 *alias = (u64 *)(AREA + 4096);
    check(alias[0] == leaf[0], "the table through itself");
    alias[0] = P | W | U | (word)(page + 4096);
    invalidate(AREA);
    check(*(volatile u8 *)AREA == 22, "a change through itself");
}

TEST(crossing) {
    // Two pages, the second missing: nothing of the store is done, and CR2 is the second page's first byte.
    leaf[0] = P | W | U | (word)page;
    leaf[1] = 0;
    invalidate(AREA);
    invalidate(AREA + 4096);
    memset(page, 0x55, 4096);
    ATTEMPT("movq $-1, (%0)", ::"r"(AREA + 4092) : RESUME_CLOBBER);
    check(fault == 1, "store into a page that is missing");
    check_equal(read_cr2(), (word)AREA + 4096, "CR2 is in the second page");
    check(page[4092] == 0x55 && page[4095] == 0x55, "nothing is written");
    fault = 0;
    ATTEMPT("movups %%xmm0, (%0)", ::"r"(AREA + 4090) : RESUME_CLOBBER);
    check(fault && page[4090] == 0x55, "nor of 16 bytes");
    leaf[0] = 0;
    leaf[1] = P | W | U | (word)page;
    invalidate(AREA);
    invalidate(AREA + 4096);
    fault = 0;
    ATTEMPT("movq $-1, (%0)", ::"r"(AREA + 4092) : RESUME_CLOBBER);
    check(fault && read_cr2() == (word)AREA + 4092, "CR2 is the address where the first page is missing");
    // An instruction that runs into the next page.
    leaf[0] = P | W | U | (word)page;
    leaf[1] = P | W | U | (word)(page + 4096);
    invalidate(AREA);
    invalidate(AREA + 4096);
    u8 code[] = {0xB8, 0x11, 0x22, 0x33, 0x44, 0xC3};
    memcpy(AREA + 4093, code, sizeof code);
    u32 value;
    asm volatile("call *%1" : "=a"(value) : "r"(AREA + 4093) : "memory");
    check(value == 0x44332211, "code over a page boundary");
    AREA[4096] = 0x99;
    asm volatile("call *%1" : "=a"(value) : "r"(AREA + 4093) : "memory");
    check(value == 0x44332211 - 0x330000 + 0x990000 || value == 0x44992211, "changed in its second page");
    // A locked access over the boundary.
    memset(AREA + 4092, 0, 8);
    asm volatile("lock incq (%0)\n lock addq $0x7fffffff, (%0)\n lock addq $0x7fffffff, (%0)\n lock addq $1, (%0)" ::"r"(AREA + 4092) : "memory");
    check_equal(*(u64 *)(AREA + 4092), 0x100000000, "locked over a page boundary");
    leaf[1] = 0;
    invalidate(AREA + 4096);
    fault = 0;
    ATTEMPT("call *%0", ::"r"(AREA + 4093) : "rax", RESUME_CLOBBER);
    asm volatile("add $8, %rsp");
    check(fault && read_cr2() == (word)AREA + 4096 && fault_error == (4096 ? 16 : 0), "fetch from a second page that is missing");
}

TEST(contexts) {
    if (!has(1, 2, 17)) {
        ATTEMPT("mov %0, %%cr4", ::"r"(read_cr4() | 1 << 17) : RESUME_CLOBBER);
        check(trap_vector == GP, "CR4.PCIDE where it is not");
        return;
    }
    word root = read_cr3();
    write_cr3(root | 8);
    ATTEMPT("mov %0, %%cr4", ::"r"(read_cr4() | 1 << 17) : RESUME_CLOBBER);
    check(trap_vector == GP, "CR4.PCIDE with low bits in CR3");
    write_cr3(root);
    write_cr4(read_cr4() | 1 << 17);
    ATTEMPT("mov %0, %%cr0", ::"r"(read_cr0() & ~((word)1 << 31)) : RESUME_CLOBBER);
    check(trap_vector == GP, "CR0.PG cannot go with PCIDE");
    leaf[0] = P | W | U | A | D | (word)page;
    page[0] = 1, page[4096] = 2;
    write_cr3(root | 1);
    check(*(volatile u8 *)AREA == 1, "context 1");
    leaf[0] = P | W | U | A | D | (word)(page + 4096);
    write_cr3(root | 2);
    check(*(volatile u8 *)AREA == 2, "context 2");
    write_cr3(root | 1);
    check(*(volatile u8 *)AREA == 2, "a load without bit 63 flushes");
    ATTEMPT("mov %0, %%cr3", ::"r"(root | (u64)1 << 62) : RESUME_CLOBBER);
    check(trap_vector == GP, "reserved bits of CR3");
    if (has(7, 1, 10)) {
        u64 words[2] = {1, (word)AREA};
        leaf[0] = P | W | U | A | D | (word)page;
        asm volatile("invpcid %0, %1" ::"m"(words), "r"((word)0) : "memory");
        check(*(volatile u8 *)AREA == 1, "INVPCID of one address");
        leaf[0] = P | W | U | A | D | (word)(page + 4096);
        asm volatile("invpcid %0, %1" ::"m"(words), "r"((word)1) : "memory");
        check(*(volatile u8 *)AREA == 2, "INVPCID of one context");
        ATTEMPT("invpcid %0, %1", ::"m"(words), "r"((word)4) : RESUME_CLOBBER);
        check(trap_vector == GP, "INVPCID type 4");
        words[0] = 0x1000;
        ATTEMPT("invpcid %0, %1", ::"m"(words), "r"((word)0) : RESUME_CLOBBER);
        check(trap_vector == GP, "INVPCID with reserved bits");
        words[0] = 1;
        words[1] = (u64)1 << 63;
        ATTEMPT("invpcid %0, %1", ::"m"(words), "r"((word)0) : RESUME_CLOBBER);
        check(trap_vector == GP, "INVPCID of a non-canonical address");
        write_cr3(root);
        write_cr4(read_cr4() & ~((word)1 << 17));
        words[1] = 0;
        ATTEMPT("invpcid %0, %1", ::"m"(words), "r"((word)1) : RESUME_CLOBBER);
        check(trap_vector == GP, "INVPCID of a context without PCIDE");
    }
    write_cr3(root);
    write_cr4(read_cr4() & ~((word)1 << 17));
}

int main(void) {
    set_up();
    set_handler(PF, on_fault);
    level4[32] = P | W | U | (word)upper;
    upper[0] = P | W | U | (word)middle;
    has_smep = has(7, 1, 7), has_smap = has(7, 1, 20), has_keys = has(7, 2, 3);
    combinations();
    supervisor_protection();
    if (has_keys) write_cr4(read_cr4() & ~(word)(1 << 22));
    has_keys = false;
    reserved_bits();
    caching();
    crossing();
    contexts();
    return failures();
}

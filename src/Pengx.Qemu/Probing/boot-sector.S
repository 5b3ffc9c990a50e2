# The boot sector by which AcceleratorProbe proves that an accelerator runs a guest: as --64, ld -Ttext=0x7c00 --oformat binary.
# It ends the machine by writing 0x10 to the exit device at port 0xf4; whatever else happens is no proof.
        .code16
        .globl _start
_start: cli
        xor %ax,%ax
        mov %ax,%ds
        mov %ax,%es
        mov %ax,%ss
        mov $0x7c00,%sp
        lgdtl gdtr
        mov %cr0,%eax
        or $1,%al
        mov %eax,%cr0
        ljmpl $8,$prot
        .code32
prot:   mov $16,%ax
        mov %ax,%ds
        mov %ax,%es
        mov %ax,%ss
        mov $0x7c00,%esp
        # an interrupt gate for vector 0x30, and an interrupt with its iret in protected mode
        mov $0x1000,%edi
        mov $handler,%eax
        mov %ax,0x1180
        movw $8,0x1182
        movw $0x8e00,0x1184
        shr $16,%eax
        mov %ax,0x1186
        lidtl idtr
        xor %ebx,%ebx
        mov $1000,%ecx
1:      int $0x30
        loop 1b
        cmp $1000,%ebx
        jne fail
        # page tables: the first 2 MiB, one large page
        mov $0x2000,%edi
        xor %eax,%eax
        mov $0xc00,%ecx
        rep stosl
        movl $0x3003,0x2000
        movl $0x4003,0x3000
        movl $0x83,0x4000
        mov $0x2000,%eax
        mov %eax,%cr3
        mov %cr4,%eax
        or $0x620,%eax
        mov %eax,%cr4
        mov $0xc0000080,%ecx
        rdmsr
        or $0x100,%eax
        wrmsr
        mov %cr0,%eax
        and $0xfffffffb,%eax
        or $0x80000002,%eax
        mov %eax,%cr0
        ljmp $24,$long
handler: inc %ebx
        iret
fail:   mov $0xe9,%dx
        mov $'F',%al
        out %al,%dx
2:      hlt
        jmp 2b
        .code64
long:   # arithmetic over memory, SSE, then a report and the end
        mov $0x100000,%rdi
        mov $0x10000,%rcx
        xor %rax,%rax
3:      mov %rcx,(%rdi)
        add (%rdi),%rax
        add $8,%rdi
        dec %rcx
        jnz 3b
        movq %rax,%xmm0
        paddq %xmm0,%xmm0
        movq %xmm0,%rbx
        mov $0x100010000,%rcx
        cmp %rcx,%rbx
        jne fail64
        cpuid
        mov $0xe9,%dx
        mov $'K',%al
        out %al,%dx
        mov $0xf4,%dx
        mov $0x10,%al
        out %al,%dx
fail64: hlt
        jmp fail64
        .align 8
gdt:    .quad 0
        .quad 0x00cf9a000000ffff
        .quad 0x00cf92000000ffff
        .quad 0x00af9a000000ffff
gdtr:   .word 31
        .long gdt
idtr:   .word 0x1ff
        .long 0x1000
        .org 510
        .word 0xaa55

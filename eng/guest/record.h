/* The counter record that the guest writes and the host verifies: README.md beside this file is its description. */
#ifndef PENGX_RECORD_H
#define PENGX_RECORD_H

#include <stdint.h>
#include <string.h>

#define RECORD_AREA 0x100000ull /* first slot: 1 MiB into the disk */
#define RECORD_SIZE 4096u
#define RECORD_SLOTS 64u
#define RECORD_HEADER 32u
#define RECORD_VERSION 1u

static const char record_magic[8] = { 'P', 'E', 'N', 'G', 'X', 'C', 'T', 'R' };

static void record_put32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static void record_put64(unsigned char *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t record_get32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t record_get64(const unsigned char *at)
{
    return (uint64_t)record_get32(at) | (uint64_t)record_get32(at + 4) << 32;
}

/* CRC-32/ISO-HDLC (zlib, PNG): reflected polynomial 0xEDB88320, start and final xor 0xFFFFFFFF. */
static uint32_t record_crc(const unsigned char *data, size_t length)
{
    static uint32_t table[256];
    if (table[1] == 0) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t value = i;
            for (int bit = 0; bit < 8; bit++)
                value = value >> 1 ^ (0xEDB88320u & -(value & 1));
            table[i] = value;
        }
    }
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < length; i++)
        crc = crc >> 8 ^ table[(crc ^ data[i]) & 0xFF];
    return crc ^ 0xFFFFFFFFu;
}

static void record_fill(unsigned char *block, uint64_t number)
{
    memset(block, 0, RECORD_HEADER);
    memcpy(block, record_magic, sizeof record_magic);
    record_put32(block + 8, RECORD_VERSION);
    record_put64(block + 16, number);
    /* The pattern: xorshift64* seeded from the number, so no two records share a payload. */
    uint64_t state = number * 0x9E3779B97F4A7C15ull + 1;
    if (state == 0)
        state = 1;
    for (size_t i = RECORD_HEADER; i < RECORD_SIZE; i += 8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        record_put64(block + i, state * 0x2545F4914F6CDD1Dull);
    }
    record_put32(block + 12, record_crc(block, RECORD_SIZE)); /* computed while the field itself is zero */
}

/* Returns the record's number, or 0 when the block is not a whole record of that slot. */
static uint64_t record_read(const unsigned char *block, unsigned slot)
{
    static unsigned char expected[RECORD_SIZE];
    if (memcmp(block, record_magic, sizeof record_magic) != 0)
        return 0;
    uint64_t number = record_get64(block + 16);
    if (number == 0 || number % RECORD_SLOTS != slot)
        return 0;
    record_fill(expected, number);
    return memcmp(block, expected, RECORD_SIZE) == 0 ? number : 0;
}

#endif

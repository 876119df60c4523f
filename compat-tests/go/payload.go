package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"sync"
)

const blockBytes = 1 << 20

// doubledNoise is the xorshift32 block of ../harness/payload.ts, twice.
var doubledNoise = sync.OnceValue(func() []byte {
	block := make([]byte, blockBytes)
	state := uint32(0x9e3779b9)
	for i := 0; i < blockBytes; i += 4 {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		binary.LittleEndian.PutUint32(block[i:], state)
	}
	return append(block, block...)
})

func makeValue(size, seed int) []byte {
	if size < 0 {
		return nil
	}
	period := blockBytes
	if seed%4 == 3 {
		period = 64
	}
	start := (seed * 4099) % blockBytes
	unit := doubledNoise()[start : start+period]
	return bytes.Repeat(unit, size/period+1)[:size:size]
}

func digest(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:])[:16]
}

#include "arena/granule_tree.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace kafabric {

GranuleTree::GranuleTree(uint32_t granules) {
  while (size_ < granules) size_ *= 2;
  bytes_ = size_t{2} * size_ * sizeof(Node);
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  nodes_ = static_cast<Node*>(memory);
  if (granules < size_) mark(granules, size_ - granules, true);
}

GranuleTree::~GranuleTree() { munmap(nodes_, bytes_); }

uint32_t GranuleTree::find(uint32_t count) const {
  if (count == 0 || count > size_ - nodes_[1].best) return kNone;
  size_t node = 1;
  uint32_t start = 0;
  uint32_t size = size_;
  while (nodes_[node].best != 0) {
    uint32_t half = size / 2;
    const Node& left = nodes_[2 * node];
    const Node& right = nodes_[2 * node + 1];
    if (half - left.best >= count) {
      node = 2 * node;
    } else if ((half - left.suffix) + (half - right.prefix) >= count) {
      return start + left.suffix;
    } else {
      node = 2 * node + 1;
      start += half;
    }
    size = half;
  }
  return start;
}

uint32_t GranuleTree::findHighest(uint32_t count) const {
  if (count == 0 || count > size_ - nodes_[1].best) return kNone;
  size_t node = 1;
  uint32_t start = 0;
  uint32_t size = size_;
  while (nodes_[node].best != 0) {
    uint32_t half = size / 2;
    const Node& left = nodes_[2 * node];
    const Node& right = nodes_[2 * node + 1];
    if (half - right.best >= count) {
      node = 2 * node + 1;
      start += half;
    } else if ((half - left.suffix) + (half - right.prefix) >= count) {
      return start + half + (half - right.prefix) - count;
    } else {
      node = 2 * node;
    }
    size = half;
  }
  return start + size - count;
}

void GranuleTree::mark(uint32_t first, uint32_t count, bool used) {
  markBelow(1, 0, size_, first, first + count, used);
}

void GranuleTree::markBelow(size_t node, uint32_t start, uint32_t size, uint32_t from, uint32_t to, bool used) {
  Node& self = nodes_[node];
  if (from <= start && start + size <= to) {
    uint32_t missing = used ? size : 0;
    self = {missing, missing, missing};
    return;
  }
  uint32_t half = size / 2;
  uint32_t middle = start + half;
  Node& left = nodes_[2 * node];
  Node& right = nodes_[2 * node + 1];
  // The children of a uniform node are stale: they take its state now that it ends.
  if (self.best == 0 || self.best == size) {
    uint32_t missing = self.best == 0 ? 0 : half;
    left = right = {missing, missing, missing};
  }
  if (from < middle) markBelow(2 * node, start, half, from, to, used);
  if (to > middle) markBelow(2 * node + 1, middle, half, from, to, used);
  uint32_t across = (half - left.suffix) + (half - right.prefix);
  uint32_t best = std::max({half - left.best, half - right.best, across});
  self.prefix = left.prefix == 0 ? right.prefix : left.prefix + half;
  self.suffix = right.suffix == 0 ? left.suffix : right.suffix + half;
  self.best = size - best;
}

}  // namespace kafabric

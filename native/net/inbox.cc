#include "net/inbox.h"

#include <algorithm>
#include <cstring>

namespace kafabric::net {

Inbox::Inbox(size_t dataBytes)
    : dataBytes_((dataBytes + 4095) / 4096 * 4096),
      region_(std::make_shared<Region>(dataBytes_ + kEvents * sizeof(Event))),
      data_(region_->data()),
      events_(reinterpret_cast<Event*>(region_->data() + dataBytes_)),
      dataEnds_(kEvents + 1),
      large_(kEvents) {}

void Inbox::refreshTail() {
  uint64_t released = released_.load(std::memory_order_acquire);
  if (released == tailEvent_) return;
  tailEvent_ = released;
  dataTail_ = dataEnds_[(released - 1) % dataEnds_.size()];
  // Nothing is in use: begin at the start again, where the memory is warm.
  if (released == added_) dataHead_ = dataTail_ = (dataHead_ + dataBytes_ - 1) / dataBytes_ * dataBytes_;
}

iovec Inbox::reserve(size_t least, size_t most) {
  for (bool again : {true, false}) {
    refreshTail();
    uint64_t start = dataHead_;
    size_t toEnd = dataBytes_ - start % dataBytes_;
    if (toEnd < least) start += toEnd;
    toEnd = dataBytes_ - start % dataBytes_;
    size_t free = dataTail_ + dataBytes_ > start ? dataTail_ + dataBytes_ - start : 0;
    size_t length = std::min({most, toEnd, free});
    if (length >= least) {
      dataHead_ = start;
      return {data_ + start % dataBytes_, length};
    }
    // Ask for room, then look once more: the consumer may have given it back in between.
    if (again) roomWanted_.store(true, std::memory_order_seq_cst);
  }
  return {nullptr, 0};
}

bool Inbox::hasRoom() {
  if (waiting_.empty() && freeEvents() > 0) return true;
  roomWanted_.store(true, std::memory_order_seq_cst);
  return waiting_.empty() && freeEvents() > 0;
}

void Inbox::add(const Event& event, uint64_t dataEnd) {
  uint32_t index = static_cast<uint32_t>(added_ % kEvents);
  events_[index] = event;
  other_ |= event.type != static_cast<double>(EventType::kLargeFrame);
  dataEnds_[added_ % dataEnds_.size()] = dataEnd;
  ++added_;
}

void Inbox::addFrame(uint64_t connection, const uint8_t* data, size_t length) {
  size_t offset = length == 0 ? 0 : static_cast<size_t>(data - data_);
  if (length > 0) dataHead_ = dataHead_ - dataHead_ % dataBytes_ + offset + length;
  add({static_cast<double>(EventType::kFrame), static_cast<double>(connection), static_cast<double>(offset),
       static_cast<double>(length), 0, 0},
      dataHead_);
}

void Inbox::addLargeFrame(uint64_t connection, LargeFrame frame) {
  const MemoryRef& memory = frame.memory;
  Event event{static_cast<double>(EventType::kLargeFrame), static_cast<double>(connection),
              static_cast<double>(memory.offset()), static_cast<double>(memory.size()),
              static_cast<double>(memory.handle()), 0};
  large_[added_ % kEvents] = std::move(frame);
  lastLarge_ = added_;
  add(event, dataHead_);
}

void Inbox::addControl(EventType type, uint64_t connection, double detail, double number, const std::string& data) {
  Event event{static_cast<double>(type), static_cast<double>(connection), 0, number, 0, detail};
  flushControls();
  Control control{event, data};
  if (!waiting_.empty() || !addNow(control)) waiting_.push_back(std::move(control));
}

bool Inbox::addNow(const Control& control) {
  if (freeEvents() == 0) return false;
  Event event = control.event;
  if (!control.data.empty()) {
    iovec space = reserve(control.data.size(), control.data.size());
    if (!space.iov_base) return false;
    std::memcpy(space.iov_base, control.data.data(), control.data.size());
    event.offset = static_cast<double>(static_cast<uint8_t*>(space.iov_base) - data_);
    event.length = static_cast<double>(control.data.size());
    dataHead_ += control.data.size();
  }
  add(event, dataHead_);
  return true;
}

void Inbox::flushControls() {
  while (!waiting_.empty() && addNow(waiting_.front())) waiting_.pop_front();
}

bool Inbox::publish() {
  flushControls();
  if (!waiting_.empty()) {
    roomWanted_.store(true, std::memory_order_seq_cst);
    flushControls();
  }
  if (published_.load(std::memory_order_relaxed) == added_) return false;
  published_.store(added_, std::memory_order_release);
  return true;
}

Inbox::Batch Inbox::collect() {
  uint64_t from = released_.load(std::memory_order_relaxed);
  uint64_t to = published_.load(std::memory_order_acquire);
  return {static_cast<uint32_t>(from % kEvents), static_cast<uint32_t>(to - from)};
}

bool Inbox::release(uint32_t count) {
  released_.store(released_.load(std::memory_order_relaxed) + count, std::memory_order_seq_cst);
  return roomWanted_.load(std::memory_order_seq_cst) && roomWanted_.exchange(false, std::memory_order_seq_cst);
}

}  // namespace kafabric::net

// The loop over a provider of libfabric: posts pieces and reads the completion queue.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "fabric/bare_loop.h"
#include "fabric/endpoint.h"

namespace kafabric::fabric {

class FabricBareLoop final : public BareLoop {
 public:
  FabricBareLoop(std::shared_ptr<const Library> library, std::shared_ptr<const Provider> provider)
      : library_(std::move(library)), provider_(std::move(provider)) {}

  IoStatus open(std::string& offer) override;
  IoStatus connect(const std::string& answer) override;

 private:
  struct Slot {
    void* scratch[8] = {};  // fi_context2
  };

  IoStatus prepare(const BareLoad& load) override;
  Carrier::Posted post(uint32_t slot, Direction direction, const Range& piece, IoStatus& status) override;
  IoStatus collect(std::vector<uint32_t>& ended) override;
  void close() override;
  IoStatus error() const;
  void waitForQueue();

  const std::shared_ptr<const Library> library_;
  const std::shared_ptr<const Provider> provider_;
  std::array<Slot, kMaxWindow> slots_;
  std::unique_ptr<Domain> domain_;
  std::unique_ptr<Endpoint> endpoint_;
  std::unique_ptr<MemoryRegion> region_;  // last: with FI_MR_ENDPOINT it has to go first
  const uint8_t* registered_ = nullptr;
  fi_addr_t peer_ = FI_ADDR_NOTAVAIL;
};

}  // namespace kafabric::fabric

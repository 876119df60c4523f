// Owners of libfabric's objects: closed once, in the reverse order of their making.
#pragma once

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_rma.h>

#include <memory>
#include <utility>

#include "fabric/library.h"

namespace kafabric::fabric {

/** Owns one object of libfabric (fid_fabric, fid_domain, fid_cq, fid_av, fid_ep, fid_mr); empty when default-constructed. */
template <typename T>
class Owned {
 public:
  Owned() = default;
  explicit Owned(T* object) : object_(object) {}
  Owned(Owned&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Owned() { reset(); }

  /** An object that is in use still (fi_close gives -FI_EBUSY) is left to the end of the process. */
  void reset() noexcept {
    if (T* object = std::exchange(object_, nullptr)) fi_close(&object->fid);
  }
  /** Where an opening function puts the object; what was owned before is closed. */
  T** receive() noexcept {
    reset();
    return &object_;
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

/** A description of an endpoint, or a list of them, that the library allocated. */
class Info {
 public:
  Info() = default;
  Info(std::shared_ptr<const Library> library, fi_info* info) : library_(std::move(library)), info_(info) {}
  Info(Info&& other) noexcept : library_(std::move(other.library_)), info_(std::exchange(other.info_, nullptr)) {}
  Info& operator=(Info&& other) noexcept {
    std::swap(library_, other.library_);
    std::swap(info_, other.info_);
    return *this;
  }
  ~Info() {
    if (info_) library_->freeInfo(info_);
  }

  fi_info* get() const { return info_; }
  fi_info* operator->() const { return info_; }
  explicit operator bool() const { return info_ != nullptr; }

 private:
  std::shared_ptr<const Library> library_;
  fi_info* info_ = nullptr;
};

}  // namespace kafabric::fabric

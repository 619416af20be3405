// Layers on streams: where the two ends of a connection meet one. See stream_layer.hpp.
#include <perilune/stream_layer.hpp>

#include <cerrno>

#include "byte_sink.hpp"
#include "byte_source.hpp"

namespace perilune {

namespace detail {

void byte_source::put_layer(std::shared_ptr<stream_layer> layer, const std::shared_ptr<byte_sink>& answers_to) {
  layer_ = std::move(layer);
  answers_to_ = answers_to;
  const std::string kept(buffer_.view());
  const bool at_end = std::exchange(ended_, false);
  buffer_.clear();
  scanned_ = 0;
  decode(kept);
  if (at_end) descriptor_ended();
  if (over()) release();
}

void byte_source::decode(std::string_view arrived) {
  stream_layer::decoded got = layer_->decode(arrived);
  buffer_.append(got.bytes);
  if (const auto sink = answers_to_.lock(); sink && !got.answer.empty()) sink->answer(got.answer);
  if (got.problem)
    failed(*std::move(got.problem));
  else if (got.ended)
    ended();
}

void byte_source::received(std::string_view arrived) {
  if (!layer_) return buffer_.filled(arrived.size());
  decode(arrived);
}

void byte_source::descriptor_ended() {
  if (over()) return;
  auto problem = layer_ ? layer_->cut_off() : std::nullopt;
  if (problem)
    failed(*std::move(problem));
  else
    ended();
}

}  // namespace detail

result<unit> put_layer(const reader& in, const writer& out, std::shared_ptr<stream_layer> layer) {
  detail::byte_source& source = *in.source();
  detail::byte_sink& sink = *out.sink();
  if (source.busy() || !sink.drained() || source.has_layer()) return error::system("layer on a stream in use", EBUSY);
  sink.put_layer(layer);
  source.put_layer(std::move(layer), out.sink());
  return unit{};
}

}  // namespace perilune

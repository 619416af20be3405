// What a session says when it fails, in the words of who uses it. See tls_session.hpp.
#include <algorithm>
#include <cerrno>
#include <string>

#include "tls_session.hpp"

namespace perilune::tls {

namespace {

bool is_any_of(long what, std::initializer_list<long> list) noexcept {
  return std::find(list.begin(), list.end(), what) != list.end();
}

bool is_no_authority(long why) noexcept {
  return is_any_of(why, {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
                         X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
                         X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_UNTRUSTED});
}

// The other side sent something that is no TLS.
bool is_plain(int reason) noexcept {
  return is_any_of(
      reason, {SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST, SSL_R_PACKET_LENGTH_TOO_LONG,
               SSL_R_BAD_RECORD_TYPE, SSL_R_UNEXPECTED_MESSAGE, SSL_R_RECORD_TOO_SMALL});
}

// The other side has refused with an alert: reasons from 1000 on are alerts.
bool is_alert(int reason) noexcept { return reason >= SSL_AD_REASON_OFFSET; }

error failure(std::string message, int code) { return {error_kind::io, std::move(message), code, {}}; }

}  // namespace

error session::certificate_refusal(long why) const {
  const std::string whose = "TLS with " + (peer_.empty() ? "the other side" : peer_) + ": ";
  const std::string words = library_.X509_verify_cert_error_string(why);
  if (why == X509_V_ERR_CERT_HAS_EXPIRED) return failure(whose + "the certificate has expired", EKEYEXPIRED);
  if (why == X509_V_ERR_CERT_NOT_YET_VALID) return failure(whose + "the certificate is not valid yet", EKEYREJECTED);
  if (is_any_of(why, {X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH}))
    return failure(whose + "the certificate is for another host", EKEYREJECTED);
  if (is_no_authority(why))
    return failure(whose + "the certificate is of an unknown authority (" + words + ")", EKEYREJECTED);
  return failure(whose + "the certificate is refused (" + words + ")", EKEYREJECTED);
}

error session::refusal(const char* doing) const {
  const unsigned long code = library_.ERR_peek_error();
  const int reason = ERR_GET_REASON(code);
  if (const long why = library_.SSL_get_verify_result(ssl_);
      reason == SSL_R_CERTIFICATE_VERIFY_FAILED && why != X509_V_OK)
    return certificate_refusal(why);
  const std::string where = std::string("TLS ") + doing + (peer_.empty() ? "" : " with " + peer_) + ": ";
  if (is_plain(reason)) return failure(where + "the other side does not speak TLS", EPROTO);
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
    return failure(where + "the other side has shown no certificate", EKEYREJECTED);
  const char* words = library_.ERR_reason_error_string(code);
  const std::string why = words ? words : "protocol error";
  return failure(where + (is_alert(reason) ? "the other side refused (" + why + ")" : why), EPROTO);
}

error session::ended_early() const {
  const std::string whose = peer_.empty() ? "" : " with " + peer_;
  return failure("TLS handshake" + whose + ": the other side closed the connection", ECONNRESET);
}

}  // namespace perilune::tls

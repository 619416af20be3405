// The functions of OpenSSL that TLS needs. The library is loaded at the first use, not with the program: to map and relocate it
// takes longer than a short script. Any thread.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace perilune {

#define PERILUNE_OPENSSL(use)                                                                                          \
  use(BIO_ctrl) use(BIO_new) use(BIO_read) use(BIO_s_mem) use(BIO_write) use(ERR_clear_error) use(ERR_peek_error)      \
      use(ERR_reason_error_string) use(SSL_CIPHER_get_name) use(SSL_CTX_check_private_key) use(SSL_CTX_ctrl)           \
          use(SSL_CTX_free) use(SSL_CTX_load_verify_file) use(SSL_CTX_new) use(SSL_CTX_set_alpn_protos)                \
              use(SSL_CTX_set_alpn_select_cb) use(SSL_CTX_set_default_passwd_cb) use(SSL_CTX_set_default_verify_paths) \
                  use(SSL_CTX_set_num_tickets) use(SSL_CTX_set_options) use(SSL_CTX_set_verify)                        \
                      use(SSL_CTX_use_PrivateKey_file) use(SSL_CTX_use_certificate_chain_file) use(SSL_ctrl)           \
                          use(SSL_do_handshake) use(SSL_free) use(SSL_get0_alpn_selected) use(SSL_get0_param)          \
                              use(SSL_get1_peer_certificate) use(SSL_get_current_cipher) use(SSL_get_error)            \
                                  use(SSL_get_verify_result) use(SSL_get_version) use(SSL_new) use(SSL_read)           \
                                      use(SSL_select_next_proto) use(SSL_set1_host) use(SSL_set_accept_state)          \
                                          use(SSL_set_bio) use(SSL_set_connect_state) use(SSL_shutdown) use(SSL_write) \
                                              use(TLS_method) use(X509_NAME_oneline)                                   \
                                                  use(X509_VERIFY_PARAM_set1_ip_asc) use(X509_free)                    \
                                                      use(X509_get_subject_name) use(X509_verify_cert_error_string)

struct openssl {
#define PERILUNE_OPENSSL_MEMBER(name) decltype(&::name) name;
  PERILUNE_OPENSSL(PERILUNE_OPENSSL_MEMBER)
#undef PERILUNE_OPENSSL_MEMBER

  // nullptr where the library is not installed, or lacks one of these.
  static const openssl* load() noexcept;
  // What it was looked for as: "libssl.so.3".
  static const char* file_name() noexcept;
};

}  // namespace perilune

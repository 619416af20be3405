# What Debian wants of a package's files, done to the staged ones before they are packed: a changelog of its own form, compressed texts,
# the licence by the name of copyright, zsh's completion where Debian's zsh looks. Run by cpack.
set(usr ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr)
set(doc ${usr}/share/doc/perilune)
file(RENAME ${doc}/LICENSE ${doc}/copyright)
file(COPY_FILE ${CMAKE_CURRENT_LIST_DIR}/../CHANGELOG.md ${doc}/NEWS)
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE ${doc}/changelog "perilune (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium

  * What has changed is in NEWS.gz.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
file(CHMOD ${doc}/changelog ${doc}/NEWS PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
execute_process(COMMAND gzip -9nf ${doc}/changelog ${doc}/NEWS ${usr}/share/man/man1/perilune.1 COMMAND_ERROR_IS_FATAL ANY)
file(MAKE_DIRECTORY ${usr}/share/zsh/vendor-completions)
file(RENAME ${usr}/share/zsh/site-functions/_perilune ${usr}/share/zsh/vendor-completions/_perilune)
file(REMOVE_RECURSE ${usr}/share/zsh/site-functions)

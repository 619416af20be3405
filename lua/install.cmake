# Installing: the static libraries perilune::engine and perilune::perilune for C++, the shared one perilune::c for C and all that can
# call it, headers, the Lua modules and their types, and what find_package and pkg-config need. Included by lua/CMakeLists.txt.
include(CMakePackageConfigHelpers)

# The shared library has the C interface and nothing else. Its objects are those of the static libraries; Lua it shares too.
find_library(PERILUNE_LUA_SHARED NAMES liblua5.4.so lua5.4 lua54 lua-5.4)
mark_as_advanced(PERILUNE_LUA_SHARED)
if(PERILUNE_LUA_SHARED AND NOT PERILUNE_LUA_SHARED MATCHES "\\.a$" AND NOT PERILUNE_LUA_DIR)
  add_library(perilune_shared SHARED $<TARGET_OBJECTS:perilune_lua> $<TARGET_OBJECTS:perilune_engine>)
  add_library(perilune::c ALIAS perilune_shared)
  target_include_directories(perilune_shared INTERFACE
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(perilune_shared PRIVATE ${PERILUNE_LUA_SHARED} ${optional_libraries} Threads::Threads)
  set_target_properties(perilune_shared PROPERTIES
    OUTPUT_NAME perilune
    EXPORT_NAME c
    LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_OPTIONS "-Wl,--exclude-libs,ALL")
  set(shared_target perilune_shared)
endif()

set_target_properties(perilune_lua PROPERTIES OUTPUT_NAME perilune_host EXPORT_NAME perilune)
set_target_properties(perilune_engine PROPERTIES EXPORT_NAME engine)

option(PERILUNE_INSTALL "Install the libraries with everything else" ${PROJECT_IS_TOP_LEVEL})
if(NOT PERILUNE_INSTALL)
  return()
endif()

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/perilune)
install(TARGETS perilune_engine perilune_lua ${shared_target}
  EXPORT perilune-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT perilune-targets NAMESPACE perilune:: DESTINATION ${config_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/engine/include/perilune ${CMAKE_CURRENT_SOURCE_DIR}/include/perilune
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/scripts/perilune DESTINATION ${CMAKE_INSTALL_DATADIR}/perilune/lua)
# For a plain Lua, which learns from it how to run such scripts.
install(FILES ${PROJECT_SOURCE_DIR}/scripts/perilune.lua DESTINATION ${CMAKE_INSTALL_DATADIR}/lua/5.4)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/scripts/types DESTINATION ${CMAKE_INSTALL_DATADIR}/perilune)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(optional_packages "")
foreach(module IN ITEMS db hash)
  if(PERILUNE_${module}_FOUND)
    list(APPEND optional_packages "${module}")
  endif()
endforeach()
configure_package_config_file(perilune-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/perilune-config.cmake INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/perilune-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/perilune-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/perilune-config-version.cmake FindLua54.cmake
  DESTINATION ${config_dir})

# For pkg-config: the same three, wherever the folder that they are installed in is moved.
cmake_path(IS_ABSOLUTE CMAKE_INSTALL_LIBDIR elsewhere)
if(elsewhere)
  set(pkg_config_prefix ${CMAKE_INSTALL_PREFIX})
  set(pkg_config_libdir ${CMAKE_INSTALL_LIBDIR})
else()
  file(RELATIVE_PATH to_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
  string(REGEX REPLACE "/$" "" pkg_config_prefix "\${pcfiledir}/${to_prefix}")
  set(pkg_config_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
function(perilune_pkg_config name description requires libs)
  file(CONFIGURE OUTPUT ${name}.pc @ONLY CONTENT [=[
prefix=@pkg_config_prefix@
libdir=@pkg_config_libdir@
includedir=${prefix}/@CMAKE_INSTALL_INCLUDEDIR@

Name: @name@
Description: @description@
Version: @PROJECT_VERSION@
Requires: @requires@
Cflags: -I${includedir}
Libs: -L${libdir} @libs@
]=])
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()
cmake_path(GET LUA54_LIBRARY STEM LAST_ONLY lua_name)
string(REGEX REPLACE "^lib" "-l" lua_flag "${lua_name} -lm -ldl")
set(module_libraries "")
set(debian_depends pkgconf liblua5.4-dev)  # who links the static libraries needs what they need
if(PERILUNE_db_FOUND)
  string(APPEND module_libraries " -lsqlite3")
  list(APPEND debian_depends libsqlite3-dev)
endif()
if(PERILUNE_hash_FOUND)
  string(APPEND module_libraries " -lxxhash")
  list(APPEND debian_depends libxxhash-dev)
endif()
perilune_pkg_config(perilune-engine "Tasks, channels and cancellation for C++" "" "-lperilune_engine -pthread")
perilune_pkg_config(perilune "Lua scripts as tasks inside a C++ program" "perilune-engine = ${PROJECT_VERSION}"
  "-lperilune_host -lperilune_engine ${lua_flag}${module_libraries}")
if(TARGET perilune_shared)
  perilune_pkg_config(perilune-c "Lua scripts as tasks inside a program: the C interface" "" "-lperilune")
endif()

if(PROJECT_IS_TOP_LEVEL)
  set(CPACK_GENERATOR DEB)
  set(CPACK_PACKAGE_NAME perilune)
  set(CPACK_PACKAGE_CONTACT "Perilune maintainers <maintainers@perilune.example>")
  set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "embeddable task orchestrator driven from Lua")
  set(CPACK_PACKAGE_DESCRIPTION "A native engine (scheduler, channels, select, timers, a cancellation tree) is
driven from Lua 5.4 scripts: each script coroutine is a task of its own, and
its failure is a value that join returns, never the end of the host.
This package has the program, the libraries to embed it in C++ and C, and the
types of its API for editors.")
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
  set(CPACK_STRIP_FILES ON)
  list(JOIN debian_depends ", " CPACK_DEBIAN_PACKAGE_DEPENDS)
  set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libasio-dev")  # for perilune/asio.hpp
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/triggers "activate-noawait ldconfig\n")
  set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_BINARY_DIR}/triggers)
  if(PERILUNE_tls_FOUND)
    set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libssl3, ca-certificates")  # loaded when a script needs them
  endif()
  set(CPACK_DEBIAN_PACKAGE_SECTION devel)
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/debian.cmake)
  include(CPack)
endif()

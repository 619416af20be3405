# Finds the C build of Lua 5.4 and defines Lua54::Lua. Any 5.4.x from 5.4.4 on will do, except 5.4.5.
#
# PERILUNE_LUA_DIR, when set, is the only place searched: an installation prefix or a source folder with the library
# built in it. The C++ build (liblua5.4-c++) is refused: there a yield is a throw.
include(FindPackageHandleStandardArgs)

if(NOT "${PERILUNE_LUA_DIR}" STREQUAL "${LUA54_SEARCHED_DIR}")
  unset(LUA54_INCLUDE_DIR CACHE)
  unset(LUA54_LIBRARY CACHE)
endif()
set(LUA54_SEARCHED_DIR "${PERILUNE_LUA_DIR}" CACHE INTERNAL "Where Lua was searched last")

set(lua54_names liblua5.4.a liblua54.a liblua-5.4.a)
if(PERILUNE_LUA_DIR)
  set(lua54_where PATHS "${PERILUNE_LUA_DIR}" NO_DEFAULT_PATH)
  find_path(LUA54_INCLUDE_DIR lua.h ${lua54_where} PATH_SUFFIXES include/lua5.4 include src .)
  find_library(LUA54_LIBRARY NAMES ${lua54_names} liblua.a lua5.4 lua54 lua ${lua54_where}
    PATH_SUFFIXES lib lib64 src .)
else()
  find_path(LUA54_INCLUDE_DIR lua.h PATH_SUFFIXES lua5.4 lua54 lua-5.4 lua)
  find_library(LUA54_LIBRARY NAMES ${lua54_names} liblua.a lua5.4 lua54 lua-5.4 lua)
endif()
mark_as_advanced(LUA54_INCLUDE_DIR LUA54_LIBRARY)

if(LUA54_INCLUDE_DIR)
  file(STRINGS "${LUA54_INCLUDE_DIR}/lua.h" lua54_lines REGEX "^#define[ \t]+LUA_VERSION_(MAJOR|MINOR|RELEASE)[ \t]+\"")
  foreach(part MAJOR MINOR RELEASE)
    string(REGEX MATCH "LUA_VERSION_${part}[ \t]+\"([0-9]+)\"" ignored "${lua54_lines}")
    set(lua54_${part} "${CMAKE_MATCH_1}")
  endforeach()
  set(LUA54_VERSION "${lua54_MAJOR}.${lua54_MINOR}.${lua54_RELEASE}")
  if(LUA54_VERSION VERSION_LESS 5.4.4 OR LUA54_VERSION VERSION_GREATER_EQUAL 5.5 OR LUA54_VERSION VERSION_EQUAL 5.4.5)
    set(lua54_complaint "${LUA54_INCLUDE_DIR}/lua.h is Lua ${LUA54_VERSION}; 5.4.x from 5.4.4 on is needed, not 5.4.5.")
  endif()
endif()
if(LUA54_LIBRARY)
  file(STRINGS "${LUA54_LIBRARY}" lua54_throws REGEX "__cxa_throw" LIMIT_COUNT 1)
  if(lua54_throws)
    set(lua54_complaint "${LUA54_LIBRARY} is a C++ build of Lua; the C build is needed.")
  endif()
endif()
if(lua54_complaint)
  unset(LUA54_LIBRARY CACHE)
  unset(LUA54_INCLUDE_DIR CACHE)
endif()

find_package_handle_standard_args(Lua54
  REQUIRED_VARS LUA54_LIBRARY LUA54_INCLUDE_DIR
  VERSION_VAR LUA54_VERSION
  REASON_FAILURE_MESSAGE "${lua54_complaint}")

if(Lua54_FOUND AND NOT TARGET Lua54::Lua)
  add_library(Lua54::Lua UNKNOWN IMPORTED)
  set_target_properties(Lua54::Lua PROPERTIES
    IMPORTED_LOCATION "${LUA54_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${LUA54_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES "m;${CMAKE_DL_LIBS}")
endif()

# The C interface in C and in Python, and projects that use what is installed. Included by tests/CMakeLists.txt.
if(NOT TARGET perilune_shared)
  return()
endif()

set(sanitizer "")
set(c_linker C)
if(CMAKE_CXX_FLAGS_DEBUG MATCHES "(-fsanitize=[a-z,]+)")
  set(sanitizer ${CMAKE_MATCH_1})
  set(c_linker CXX)
endif()

foreach(program IN ITEMS c_host c_misuse)
  add_executable(${program} embed/${program}.c)
  # As C alone, but where a sanitizer needs its C++ part in the program.
  set_target_properties(${program} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON LINKER_LANGUAGE ${c_linker})
  target_compile_options(${program} PRIVATE -Wall -Wextra -Wpedantic)
  target_link_libraries(${program} PRIVATE perilune_shared Threads::Threads ${sanitizer})
  add_test(NAME embed.${program} COMMAND ${program})
  set_tests_properties(embed.${program} PROPERTIES TIMEOUT 120 LABELS threaded)
endforeach()

# The sanitizers have to be in the program, which is Python here; and consumers use the compiler's own flags.
if(sanitizer)
  return()
endif()
add_test(NAME embed.ctypes_host COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/embed/ctypes_host.py $<TARGET_FILE:perilune_shared>)
set_tests_properties(embed.ctypes_host PROPERTIES TIMEOUT 120)

set(compilers -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER} -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER} -DCMAKE_BUILD_TYPE=${CMAKE_BUILD_TYPE})
foreach(consumer IN ITEMS installed c_only no_exceptions subdirectory)
  set(only "")
  if(consumer STREQUAL "subdirectory")
    set(only -DCONFIGURE_ONLY=ON)
  endif()
  add_test(NAME consumer.${consumer} COMMAND ${CMAKE_COMMAND}
    -DBUILD=${PROJECT_BINARY_DIR} -DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}/consumer/${consumer} -DROOT=${PROJECT_SOURCE_DIR}
    -DWORK=${CMAKE_CURRENT_BINARY_DIR}/consumer/${consumer} "-DCOMPILERS=${compilers}" ${only}
    -P ${CMAKE_CURRENT_SOURCE_DIR}/support/consumer.cmake)
  set_tests_properties(consumer.${consumer} PROPERTIES TIMEOUT 300)
endforeach()

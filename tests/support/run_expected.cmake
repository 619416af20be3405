# Runs a program and compares what it printed and how it ended: cmake -DEXPECTED=FILE -P run_expected.cmake -- PROGRAM ARGS
#
# FILE holds the expected standard output. A first-line-only FILE.status beside it holds an exit code other than 0.
cmake_minimum_required(VERSION 3.25)

set(command "")
set(seen_dashes FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
  if(seen_dashes)
    list(APPEND command "${CMAKE_ARGV${i}}")
  elseif(CMAKE_ARGV${i} STREQUAL "--")
    set(seen_dashes TRUE)
  endif()
endforeach()

set(expected_status 0)
if(EXISTS "${EXPECTED}.status")
  file(STRINGS "${EXPECTED}.status" expected_status LIMIT_COUNT 1)
endif()

get_filename_component(name "${EXPECTED}" NAME)
set(actual "${CMAKE_CURRENT_BINARY_DIR}/${name}.actual")
execute_process(COMMAND ${command} OUTPUT_FILE "${actual}" ERROR_VARIABLE errors RESULT_VARIABLE status)
execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files "${EXPECTED}" "${actual}"
  RESULT_VARIABLE differs OUTPUT_QUIET ERROR_QUIET)

if(differs)
  execute_process(COMMAND diff -u "${EXPECTED}" "${actual}")
endif()
if(differs OR NOT status STREQUAL expected_status)
  message(FATAL_ERROR "exit status ${status}, expected ${expected_status}; output differs: ${differs}\n${errors}")
endif()

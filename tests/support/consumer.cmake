# Installs the build into a folder of its own and builds a consumer against it:
#   cmake -DBUILD=DIR -DSOURCE=DIR -DROOT=DIR -DWORK=DIR -DCOMPILERS=ARGS [-DCONFIGURE_ONLY=ON] -P consumer.cmake
# With CONFIGURE_ONLY the consumer uses the sources instead; it is not built, since that would build all of them once more.
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(status)
    message(FATAL_ERROR "${ARGN}: ${status}\n${output}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK}/build)
set(configure ${CMAKE_COMMAND} -G Ninja -S ${SOURCE} -B ${WORK}/build ${COMPILERS})
if(CONFIGURE_ONLY)
  run(${configure} -DPERILUNE_SOURCE=${ROOT})
  return()
endif()
file(REMOVE_RECURSE ${WORK}/prefix)
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
file(GLOB_RECURSE flags ${WORK}/prefix/*.pc)
list(GET flags 0 flags)
cmake_path(GET flags PARENT_PATH flags)
set(ENV{PKG_CONFIG_PATH} ${flags})
run(${configure} -DCMAKE_PREFIX_PATH=${WORK}/prefix)
run(${CMAKE_COMMAND} --build ${WORK}/build)
cmake_path(GET flags PARENT_PATH libraries)
set(ENV{LD_LIBRARY_PATH} ${libraries})
run(${CMAKE_CTEST_COMMAND} --test-dir ${WORK}/build --output-on-failure)

# Build rules shared by every directory: one library (and one test program) per directory, so that an include which
# breaks the layering does not link.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(ferrum_options INTERFACE)
target_include_directories(ferrum_options INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
target_compile_options(ferrum_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  -fno-math-errno -fno-trapping-math -ffp-contract=off)
target_link_libraries(ferrum_options INTERFACE Threads::Threads)
# Not under sanitizers: GCC's instrumentation makes it warn of uninitialised memory that is not (GCC manual, -fsanitize).
if(FERRUM_WERROR AND NOT FERRUM_SANITIZE)
  target_compile_options(ferrum_options INTERFACE -Werror)
endif()
if(FERRUM_SANITIZE)
  target_compile_options(ferrum_options INTERFACE -fsanitize=${FERRUM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(ferrum_options INTERFACE -fsanitize=${FERRUM_SANITIZE})
endif()
# For tests' own code, behind the options above. These checks double what the address sanitizer's compilation takes, and it
# finds most of what they would; the libraries have them.
add_library(ferrum_test_options INTERFACE)
if(FERRUM_SANITIZE MATCHES undefined)
  target_compile_options(ferrum_test_options INTERFACE -fno-sanitize=null,object-size,alignment,vptr)
endif()

if(FERRUM_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
  # Precompiled: what nearly every test includes takes a third of its compilation. ccache keeps what was compiled with it
  # only if told so (CCACHE_SLOPPINESS in ./dev). Where files are compiled together it gains nothing.
  if(NOT CMAKE_UNITY_BUILD)
    add_executable(test_headers ${CMAKE_SOURCE_DIR}/cmake/test_headers.cc)
    target_link_libraries(test_headers PRIVATE ferrum_options GTest::gtest)
    target_compile_options(test_headers PRIVATE -O1)
    target_precompile_headers(test_headers PRIVATE <gtest/gtest.h> <algorithm> <cmath> <filesystem> <fstream> <functional> <map>
      <memory> <optional> <random> <set> <string> <unordered_map> <vector>)
  endif()
endif()

# ferrum_library(name [THREADED] SOURCES a.cc ... [DEPS base io ...] [LIBS PkgConfig::X ...] [TESTS a_test.cc ...] [TEST_DEPS ...])
#
# Defines the static library ferrum_<name> from the current directory, and the test program <name>_test (one ctest entry)
# where TESTS are given. DEPS are names of our own libraries; LIBS are external targets.
function(ferrum_library name)
  cmake_parse_arguments(A "THREADED" "" "SOURCES;DEPS;LIBS;TESTS;TEST_DEPS" ${ARGN})
  list(TRANSFORM A_DEPS PREPEND ferrum_)
  if(A_SOURCES)
    add_library(ferrum_${name} STATIC ${A_SOURCES})
    target_link_libraries(ferrum_${name} PUBLIC ferrum_options ${A_DEPS} ${A_LIBS})
  else()
    add_library(ferrum_${name} INTERFACE)
    target_link_libraries(ferrum_${name} INTERFACE ferrum_options ${A_DEPS} ${A_LIBS})
  endif()
  if(FERRUM_TESTS AND A_TESTS)
    set(threaded)
    if(A_THREADED)
      set(threaded THREADED)
    endif()
    ferrum_test(${name}_test ${threaded} SOURCES ${A_TESTS} DEPS ${name} ${A_TEST_DEPS})
  endif()
endfunction()

# ferrum_test(name [THREADED] SOURCES a_test.cc ... DEPS name ...): one GoogleTest program, one ctest entry.
# THREADED: it runs code of ours on several threads. Only such programs are built for the thread sanitizer, which can find
# nothing in the others.
# Tests find the repository through FERRUM_SOURCE_DIR; shared test data lies at ${FERRUM_SOURCE_DIR}/../shared/testdata.
function(ferrum_test name)
  cmake_parse_arguments(A "THREADED" "" "SOURCES;DEPS" ${ARGN})
  if(FERRUM_SANITIZE MATCHES thread AND NOT A_THREADED)
    return()
  endif()
  list(TRANSFORM A_DEPS PREPEND ferrum_)
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gtest GTest::gtest_main ferrum_test_options)
  target_compile_definitions(${name} PRIVATE FERRUM_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  # Most of a build's time goes to compiling tests; their own code need not be fast.
  target_compile_options(${name} PRIVATE -O1)
  if(TARGET test_headers)
    target_precompile_headers(${name} REUSE_FROM test_headers)
    # Precompiled, the library's headers are not the system's any more, and GCC 12 shows its false alarms about
    # std::string's operator+ (its bugs 105329 and 105651).
    target_compile_options(${name} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread>)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 1800)
endfunction()

# Compiling CUDA sources, by commands of our own rather than CMake's CUDA language: that one wants a working nvcc before it
# can say that there is none, and keeps ptxas' account of registers and spills to itself.
#
# FERRUM_HAS_CUDA says whether kernels are compiled. The program needs no CUDA to run: the runtime is linked statically and
# looks for the driver when backend "cuda" is made.

set(FERRUM_CUDA_CAPABILITIES "80;89;90a" CACHE STRING "Compute capabilities that kernels are compiled for; PTX of 90 besides")

set(FERRUM_HAS_CUDA OFF)
if(FERRUM_CUDA STREQUAL "AUTO" OR FERRUM_CUDA)
  find_program(FERRUM_NVCC nvcc PATHS /usr/local/cuda/bin ENV CUDA_HOME PATH_SUFFIXES bin)
  if(FERRUM_NVCC)
    get_filename_component(cuda_root ${FERRUM_NVCC} REALPATH)
    get_filename_component(cuda_root ${cuda_root}/../.. ABSOLUTE)
    find_library(FERRUM_CUDART cudart_static PATHS ${cuda_root}/lib64 ${cuda_root}/lib ${cuda_root}/targets/x86_64-linux/lib)
  endif()
  # C++20 came with 12.0; Debian 12's own package is older.
  set(nvcc_version 0)
  if(FERRUM_NVCC)
    execute_process(COMMAND ${FERRUM_NVCC} --version OUTPUT_VARIABLE nvcc_says ERROR_QUIET)
    if(nvcc_says MATCHES "release ([0-9.]+)")
      set(nvcc_version ${CMAKE_MATCH_1})
    endif()
  endif()
  # Under sanitizers the emulator is what is tested: no kernel runs on a device there.
  if(nvcc_version VERSION_GREATER_EQUAL 12.0 AND FERRUM_CUDART AND NOT FERRUM_SANITIZE)
    set(FERRUM_HAS_CUDA ON)
  elseif(NOT FERRUM_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "FERRUM_CUDA=${FERRUM_CUDA} needs nvcc 12.0 or later and libcudart_static.a (found: '${FERRUM_NVCC}' "
      "${nvcc_version}, '${FERRUM_CUDART}') and no sanitizer; set CUDA_HOME, or FERRUM_CUDA=OFF for a build without kernels for GPUs")
  endif()
endif()

if(FERRUM_HAS_CUDA)
  message(STATUS "CUDA kernels: ${FERRUM_NVCC}, compute capabilities ${FERRUM_CUDA_CAPABILITIES}")
  add_library(ferrum_cudart INTERFACE)
  set(FERRUM_CUDA_INCLUDE ${cuda_root}/include)
  target_link_libraries(ferrum_cudart INTERFACE ${FERRUM_CUDART} ${CMAKE_DL_LIBS} rt Threads::Threads)
endif()

# ferrum_cuda_objects(OUT a.cu ...): compiles each source; OUT becomes the list of object files. Beside foo.cu.o lies
# foo.cu.resources, what ptxas says of each kernel (tools/cuda_resources.py reads it).
function(ferrum_cuda_objects out)
  set(targets -gencode arch=compute_90,code=compute_90)
  foreach(capability ${FERRUM_CUDA_CAPABILITIES})
    list(APPEND targets -gencode arch=compute_${capability},code=sm_${capability})
  endforeach()
  # -fmad=false: a multiplication and an addition are one operation only where a kernel says fmaf, so that the emulator,
  # which compiles the same source, computes the same bits.
  set(flags -std=c++20 -O3 -fmad=false --expt-relaxed-constexpr -lineinfo -I${CMAKE_SOURCE_DIR}/src -Xcompiler=-fPIC,-Wall,-Wextra -Xptxas=-v)
  if(FERRUM_WERROR)
    list(APPEND flags -Werror=all-warnings)
  endif()
  set(objects)
  foreach(source ${ARGN})
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${source}.o)
    get_filename_component(directory ${object} DIRECTORY)
    file(MAKE_DIRECTORY ${directory})
    add_custom_command(OUTPUT ${object} BYPRODUCTS ${object}.resources
      COMMAND ${CMAKE_SOURCE_DIR}/cmake/nvcc.sh ${object}.resources
        ${CMAKE_CXX_COMPILER_LAUNCHER} ${FERRUM_NVCC} ${flags} ${targets} -MD -MF ${object}.d
        -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
      DEPENDS ${source} ${CMAKE_SOURCE_DIR}/cmake/nvcc.sh DEPFILE ${object}.d
      COMMENT "Compiling kernels of ${source}" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set(${out} ${objects} PARENT_SCOPE)
endfunction()

# pack.cmake: the programs that show what a GPU does, and the files that they read, as the component `pack`:
# `cmake --install build/pack --component pack --strip --prefix DIR` makes a folder that runs on a machine
# which has a driver, NVRTC and a C compiler, but none of our libraries. tools/gpu/run.sh is its `run`.
set(programs mdl)
foreach(choice
    "tests/ops:^test_(codegen_|gpu_|fast$)"
    "tests/gpu:^test_"
    "tests/e2e:^test_(recorded_compiled|zoo_compiled|zoo_compiled_training|parity_pictures|parity_texts|optim|targets|half_training)$"
    "bench:^gpu_")
  string(REPLACE ":" ";" choice "${choice}")
  list(GET choice 0 folder)
  list(GET choice 1 pattern)
  get_property(targets DIRECTORY ${CMAKE_SOURCE_DIR}/${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target ${targets})
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "EXECUTABLE" AND target MATCHES "${pattern}")
      list(APPEND programs ${target})
    endif()
  endforeach()
endforeach()

add_custom_target(pack DEPENDS ${programs})
install(TARGETS ${programs} RUNTIME_DEPENDENCY_SET libraries
  RUNTIME DESTINATION bin COMPONENT pack EXCLUDE_FROM_ALL)
# All but what the C library consists of, which is the other machine's own.
install(RUNTIME_DEPENDENCY_SET libraries
  PRE_EXCLUDE_REGEXES "^lib(c|m|mvec|dl|pthread|rt|gcc_s)\\.so" "^ld-linux"
  LIBRARY DESTINATION lib COMPONENT pack EXCLUDE_FROM_ALL)

install(PROGRAMS tools/gpu/run.sh DESTINATION . RENAME run COMPONENT pack EXCLUDE_FROM_ALL)
file(GLOB_RECURSE files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
  ${CMAKE_SOURCE_DIR}/models/*.mdl ${CMAKE_SOURCE_DIR}/examples/*.mdl
  ${CMAKE_SOURCE_DIR}/bench/*.mdl ${CMAKE_SOURCE_DIR}/bench/*.py ${CMAKE_SOURCE_DIR}/bench/*.sh
  ${CMAKE_SOURCE_DIR}/bench/*.awk ${CMAKE_SOURCE_DIR}/bench/gpu_*.txt
  ${CMAKE_SOURCE_DIR}/runtime/prelude/*.h ${CMAKE_SOURCE_DIR}/tools/gpu/*
  ${CMAKE_SOURCE_DIR}/tests/recorded/*.mdl ${CMAKE_SOURCE_DIR}/tests/recorded/*.safetensors
  ${CMAKE_SOURCE_DIR}/tests/gpu/text/*.txt ${CMAKE_SOURCE_DIR}/tests/gpu/host/*.h
  ${CMAKE_SOURCE_DIR}/tests/simt/kernels/*.c)
foreach(file LICENSE tools/dev/summary.awk ${files})
  get_filename_component(folder ${file} DIRECTORY)
  install(FILES ${file} DESTINATION ./${folder} COMPONENT pack EXCLUDE_FROM_ALL)
endforeach()

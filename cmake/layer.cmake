# mdl_layer(NAME [deps...]): a static library from the .c files of the current folder. PUBLIC
# include path: the folder itself. Deps are the lower layers it may include.
find_package(Threads REQUIRED)

set(MDL_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wformat=2 -Wundef -Wdouble-promotion -Wwrite-strings -Wimplicit-fallthrough -Wconversion
    -Wno-sign-conversion)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  # clang takes NAN and INFINITY for floats that are promoted, and asserted strings for mistakes.
  list(APPEND MDL_WARNINGS -Wno-double-promotion -Wno-string-conversion)
endif()
if(MDL_WERROR)
  list(APPEND MDL_WARNINGS -Werror)
endif()
add_library(mdl_options INTERFACE)
target_compile_options(mdl_options INTERFACE ${MDL_WARNINGS} -fno-common -ffp-contract=off)
target_compile_definitions(mdl_options INTERFACE _POSIX_C_SOURCE=200809L MDL_BUILD)

function(mdl_layer name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  if(NOT sources)
    message(STATUS "${name}: no sources yet")
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/empty.c "typedef int Nothing;\n")
    set(sources ${CMAKE_CURRENT_BINARY_DIR}/empty.c)
  endif()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARGN} PRIVATE mdl_options)
  set_property(GLOBAL APPEND PROPERTY MDL_LAYERS ${name})
endfunction()

# mdl_test(NAME source.c... LIBS libs...): one cmocka program, run by ctest from the build folder.
function(mdl_test name)
  cmake_parse_arguments(T "" "" "LIBS" ${ARGN})
  add_executable(${name} ${T_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${T_LIBS} cmocka m mdl_options)
  target_compile_definitions(${name} PRIVATE MDL_SOURCE_DIR="${MDL_TEST_ROOT}"
                                             MDL_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
endfunction()

# mdl_first_line_list(FILE KEY VAR): the words after KEY in a first line such as
# `/* LIBS: mdl_base mdl_ir */`, so that adding a test program touches no CMake file.
function(mdl_first_line_list file key var)
  file(STRINGS ${file} first LIMIT_COUNT 1)
  set(words "")
  if(first MATCHES "^/\\* *${key}: *([^*]*)\\*/")
    string(STRIP "${CMAKE_MATCH_1}" words)
    string(REGEX REPLACE " +" ";" words "${words}")
  endif()
  set(${var} "${words}" PARENT_SCOPE)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
endfunction()

# mdl_missing_targets(VAR libs...): those of our own libraries that no folder has defined yet.
function(mdl_missing_targets var)
  set(missing "")
  foreach(lib ${ARGN})
    if(lib MATCHES "^mdl_" AND NOT TARGET ${lib})
      list(APPEND missing ${lib})
    endif()
  endforeach()
  set(${var} "${missing}" PARENT_SCOPE)
endfunction()

# mdl_test_folder(): one cmocka program per test_*.c of the current folder, linked with the LIBS of
# its first line. Other .c files of the folder are not built by this.
function(mdl_test_folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/test_*.c)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    mdl_first_line_list(${source} LIBS libs)
    mdl_missing_targets(missing ${libs})
    if(missing)
      message(STATUS "skipping ${name}: no ${missing} yet")
    elseif(NOT libs)
      message(SEND_ERROR "${source}: the first line must be /* LIBS: mdl_... */")
    else()
      mdl_test(${name} ${source} LIBS ${libs})
    endif()
  endforeach()
endfunction()

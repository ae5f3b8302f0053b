# install.cmake: the program, one library with every layer, the public headers, std and the models.
#
# libmdl.a holds the objects of all layers; a program that only runs plans pulls none of the
# compiler out of it. Its flags are in mdl.pc: `cc x.c $(pkg-config --cflags --libs --static mdl)`.


if(TARGET mdl)
  install(TARGETS mdl RUNTIME)
  # Manual pages and completions are made by the program itself, from its tables.
  install(CODE "
    set(share \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}\")
    execute_process(COMMAND $<TARGET_FILE:mdl> help --man
      \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_MANDIR}/man1\" RESULT_VARIABLE rc)
    if(rc)
      message(FATAL_ERROR \"no manual pages: \${rc}\")
    endif()
    foreach(shell bash:bash-completion/completions/mdl zsh:zsh/site-functions/_mdl
        fish:fish/vendor_completions.d/mdl.fish)
      string(REPLACE \":\" \";\" shell \"\${shell}\")
      list(GET shell 0 name)
      list(GET shell 1 file)
      get_filename_component(folder \"\${share}/\${file}\" DIRECTORY)
      file(MAKE_DIRECTORY \"\${folder}\")
      execute_process(COMMAND $<TARGET_FILE:mdl> completions \${name} OUTPUT_FILE \"\${share}/\${file}\")
    endforeach()
  ")
endif()

add_library(mdl_all STATIC)
set_target_properties(mdl_all PROPERTIES OUTPUT_NAME mdl LINKER_LANGUAGE C EXCLUDE_FROM_ALL OFF)
foreach(layer ${MDL_LAYERS})
  target_sources(mdl_all PRIVATE $<TARGET_OBJECTS:${layer}>)
endforeach()
install(TARGETS mdl_all ARCHIVE)

set(MDL_INCLUDE ${CMAKE_INSTALL_INCLUDEDIR}/mdl)
foreach(header
    base/banned.h base/base.h base/diag.h base/diags.def base/dtype.h base/dtype.def
    runtime/plan/plan.h runtime/plan/plan.def runtime/plan/rowops.def runtime/plan/sources.def runtime/runtime.h runtime/devices.def compiler/compile.h)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${header})
    install(FILES ${CMAKE_SOURCE_DIR}/${header} DESTINATION ${MDL_INCLUDE})
  endif()
endforeach()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/mdl
  FILES_MATCHING PATTERN "*.mdl")

configure_file(${CMAKE_SOURCE_DIR}/cmake/mdl.pc.in ${CMAKE_BINARY_DIR}/mdl.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/mdl.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# mdl_embed(TARGET NAME files...): adds NAME_names[] and NAME_texts[] (tools/embed.cmake) to TARGET.
function(mdl_embed target name)
  if(NOT TARGET ${target})
    return()
  endif()
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
  string(REPLACE ";" "," files "${ARGN}")
  add_custom_command(
    OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DNAME=${name} -DFILES=${files}
            -DBASE=${CMAKE_CURRENT_SOURCE_DIR} -P ${CMAKE_SOURCE_DIR}/tools/embed.cmake
    DEPENDS ${ARGN} ${CMAKE_SOURCE_DIR}/tools/embed.cmake
    COMMENT "Embedding ${name}")
  target_sources(${target} PRIVATE ${out})
endfunction()

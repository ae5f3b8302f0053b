# embed.cmake: text files as C arrays, so that the program works from any folder.
#   cmake -DOUT=x.c -DNAME=mdl_prelude -DFILES=a.h,b.h [-DBASE=folder] -P embed.cmake
# gives NAME_names[] (paths below BASE, else base names) and NAME_texts[] (NUL-terminated), both
# ended by NULL. Bytes, not string literals: C guarantees only 4,095 characters of those.
string(REPLACE "," ";" files "${FILES}")
set(arrays "")
set(names "")
set(texts "")
set(i 0)
foreach(file ${files})
  if(BASE)
    file(RELATIVE_PATH name ${BASE} ${file})
  else()
    get_filename_component(name ${file} NAME)
  endif()
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f])" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  # A byte above 127 does not fit a char initialiser under -Wconversion; hence unsigned char.
  string(APPEND arrays "static const unsigned char text${i}[] = {\n${bytes}\n0};\n")
  string(APPEND names "    \"${name}\",\n")
  string(APPEND texts "    (const char *)text${i},\n")
  math(EXPR i "${i} + 1")
endforeach()
set(text "/* Made by tools/embed.cmake; do not edit. */
#include <stddef.h>

extern const char *const ${NAME}_names[];
extern const char *const ${NAME}_texts[];

${arrays}
const char *const ${NAME}_names[] = {
${names}    NULL,
};
const char *const ${NAME}_texts[] = {
${texts}    NULL,
};
")
file(WRITE ${OUT} "${text}")

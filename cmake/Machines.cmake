# Writes OUTPUT: one { "name", R"json(text)json" } initializer for each description in MACHINES.
set(text "")
foreach(file ${MACHINES})
  get_filename_component(name ${file} NAME_WLE)
  file(READ ${file} content)
  string(APPEND text "{\"${name}\", R\"json(${content})json\"},\n")
endforeach()
file(WRITE ${OUTPUT} "${text}")

# For CTest: `bufleak check -- ctest` tells by name which test leaked.
#
#     include(bufleak.cmake)      # after the last add_test of a directory
#     bufleak_name_tests()
#
# Gives each test of the directory the variable BUFLEAK_TEST with its name; nothing else changes. A
# directory that is added with add_subdirectory() needs a bufleak_name_tests() of its own. What
# gtest_discover_tests() finds is found later: bufleak_gtest.h names those.
function(bufleak_name_tests)
    get_property(tests DIRECTORY PROPERTY TESTS)
    foreach(test IN LISTS tests)
        set_property(TEST "${test}" APPEND PROPERTY ENVIRONMENT "BUFLEAK_TEST=${test}")
    endforeach()
endfunction()

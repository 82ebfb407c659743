#include "java_classes.h"

bool bl_java_classes_each(jvmtiEnv *vm, JNIEnv *env,
                          void (*see)(jvmtiEnv *vm, JNIEnv *env, jclass class, jlong context),
                          jlong context)
{
    jint count = 0;
    jclass *classes = NULL;
    if ((*vm)->GetLoadedClasses(vm, &count, &classes) != JVMTI_ERROR_NONE)
        return false;
    /* -Xcheck:jni says on stdout that there are more references than were announced */
    (*env)->EnsureLocalCapacity(env, count);
    for (jint i = 0; i < count; i++) {
        see(vm, env, classes[i], context);
        (*env)->DeleteLocalRef(env, classes[i]);
    }
    (*vm)->Deallocate(vm, (unsigned char *)classes);
    return true;
}

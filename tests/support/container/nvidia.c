/* What the NVIDIA libraries say, from the environment: one file stands for all five of them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long told(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}

int cuInit(unsigned flags) { return (int)told("GPU_INIT", 0); }
int cuDeviceGet(int *device, int ordinal) { *device = 7; return 0; }
int cuDriverGetVersion(int *version) { *version = 13020; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
    strncpy(name, device == 7 ? "NVIDIA H200" : "another", length);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (device != 7) return 101;
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : -1;
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)told("GPU_TOTAL", 150L << 30); return 0; }
int cuDeviceGetPCIBusId(char *place, int length, int device) { strncpy(place, "0000:1B:00.0", length); return 0; }
int cudaRuntimeGetVersion(int *version) { *version = 13010; return 0; }
size_t cudnnGetVersion(void) { return 91301; }
int getInferLibVersion(void) { return 101601; }
int nvmlInit_v2(void) {
    if (told("GPU_STUCK", 0)) pause();
    return (int)told("GPU_NVML", 0);
}
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = (unsigned)told("GPU_COUNT", 1); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned number, void **handle) {
    *handle = (void *)8;
    return number ? 4 : 0; /* NVML_ERROR_NO_PERMISSION: the second one is another container's */
}
int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned length) {
    strncpy(uuid, "GPU-5c7e0d8e-0000-1111-2222-333344445555", length);
    return handle == (void *)8 ? 0 : 2;
}
int nvmlDeviceGetName(void *handle, char *name, unsigned length) {
    strncpy(name, "NVIDIA H200", length);
    return handle == (void *)8 ? 0 : 2;
}
int nvmlDeviceGetUtilizationRates(void *handle, unsigned *rates) {
    rates[0] = 37;
    rates[1] = 12;
    return told("GPU_MIG", 0) ? 3 : handle == (void *)8 ? 0 : 2; /* NVML_ERROR_NOT_SUPPORTED */
}
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) {
    *celsius = 61;
    return sensor == 0 && handle == (void *)8 ? 0 : 2;
}
int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
    *milliwatts = 345600;
    return handle == (void *)8 ? 0 : 2;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *place, void **handle) {
    *handle = (void *)8;
    return strcmp(place, "0000:1B:00.0") ? 2 : 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long *memory) {
    memory[0] = 150ull << 30;
    memory[1] = (unsigned long long)told("GPU_FREE", 100L << 30);
    memory[2] = memory[0] - memory[1];
    return handle == (void *)8 ? 0 : 3;
}

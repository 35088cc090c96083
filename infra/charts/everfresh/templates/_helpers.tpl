{{- define "everfresh.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "everfresh.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "everfresh.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "everfresh.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "everfresh.selector" -}}
app.kubernetes.io/name: {{ include "everfresh.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "everfresh.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "everfresh.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "everfresh.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "everfresh.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "everfresh.settings" -}}
{{- toToml .Values.settings }}
{{- end }}

{{/* What stands before every address (serving.route_prefix), empty for the root. */}}
{{- define "everfresh.path" -}}
{{- (.Values.settings.serving | default dict).route_prefix | default "/" | trimSuffix "/" }}
{{- end }}

{{- define "everfresh.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Secrets as files: setting -> {name, key}. Paths are /etc/everfresh/secrets/SETTING. */}}
{{- define "everfresh.secretFiles" -}}
{{- $security := .Values.kafka.security }}
{{- $files := dict }}
{{- range $file, $secret := dict "kafka-password" $security.password "kafka-ca" $security.ca "kafka-certificate" $security.certificate "kafka-key" $security.key "kafka-key-password" $security.keyPassword "signing-key" .Values.weights.signingKey "trusted-key" .Values.weights.trustedKey "registry-password" .Values.registry.password "registry-ca" .Values.registry.ca }}
{{- if $secret }}{{ $_ := set $files $file $secret }}{{ end }}
{{- end }}
{{- toYaml $files }}
{{- end }}

{{- define "everfresh.env" -}}
{{- $security := .Values.kafka.security }}
{{- $files := include "everfresh.secretFiles" . | fromYaml }}
{{- $at := "/etc/everfresh/secrets" }}
- {name: EVERFRESH_CONFIG, value: /etc/everfresh/everfresh.toml}
- {name: EVERFRESH_HOME, value: /var/lib/everfresh/home}
- {name: EVERFRESH_KAFKA__BOOTSTRAP_SERVERS, value: {{ .Values.kafka.bootstrapServers | quote }}}
- {name: EVERFRESH_KAFKA__SECURITY__PROTOCOL, value: {{ $security.protocol }}}
{{- range $name, $value := dict "MECHANISM" $security.mechanism "USERNAME" $security.username "TOKEN_URL" $security.tokenUrl "TOKEN_SCOPE" $security.tokenScope }}
{{- if $value }}
- {name: EVERFRESH_KAFKA__SECURITY__{{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- if not $security.verifyHost }}
- {name: EVERFRESH_KAFKA__SECURITY__VERIFY_HOST, value: "false"}
{{- end }}
{{- range $file, $variable := dict "kafka-password" "KAFKA__SECURITY__PASSWORD_FILE" "kafka-ca" "KAFKA__SECURITY__CA_FILE" "kafka-certificate" "KAFKA__SECURITY__CERTIFICATE_FILE" "kafka-key" "KAFKA__SECURITY__KEY_FILE" "kafka-key-password" "KAFKA__SECURITY__KEY_PASSWORD_FILE" "signing-key" "WEIGHTS__SIGNING_KEY" "trusted-key" "WEIGHTS__TRUSTED_KEY" "registry-password" "REGISTRY__PASSWORD_FILE" "registry-ca" "REGISTRY__CA_FILE" }}
{{- if hasKey $files $file }}
- {name: EVERFRESH_{{ $variable }}, value: {{ printf "%s/%s" $at $file }}}
{{- end }}
{{- end }}
{{- /* Inside a pod every interface is the pod's own address and loopback. */}}
- {name: EVERFRESH_SERVING__HOST, value: "0.0.0.0"}
- {name: EVERFRESH_SERVING__PORT, value: {{ .Values.serving.port | quote }}}
- {name: EVERFRESH_SERVING__GRPC_PORT, value: {{ .Values.serving.grpcPort | quote }}}
{{- with .Values.serving.adminToken }}
- name: EVERFRESH_SERVING__ADMIN_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ .name }}, key: {{ .key }}}
{{- end }}
{{- include "everfresh.surroundings" . }}
{{- range $name, $value := .Values.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "everfresh.surroundings" }}
- {name: HOME, value: /tmp}
- {name: TMPDIR, value: /tmp}
{{- end }}

{{- define "everfresh.envFrom" -}}
{{- range .Values.envFromSecrets }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "everfresh.mounts" -}}
- {name: home, mountPath: /var/lib/everfresh}
- {name: tmp, mountPath: /tmp}
- {name: shared-memory, mountPath: /dev/shm}
- {name: settings, mountPath: /etc/everfresh/everfresh.toml, subPath: everfresh.toml, readOnly: true}
{{- if include "everfresh.secretFiles" . | fromYaml }}
- {name: secrets, mountPath: /etc/everfresh/secrets, readOnly: true}
{{- end }}
{{- end }}

{{- define "everfresh.volumes" -}}
- name: tmp
  emptyDir: {}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: {{ add (include "everfresh.objectStoreMb" . | int) 64 }}Mi}
- name: settings
  configMap: {name: {{ include "everfresh.fullname" . }}}
{{- with include "everfresh.secretFiles" . | fromYaml }}
- name: secrets
  projected:
    # Readable by the group of the pod alone; everfresh refuses secrets that others may read.
    defaultMode: 0440
    sources:
      {{- range $file, $secret := . }}
      - secret:
          name: {{ $secret.name }}
          items: [{key: {{ $secret.key }}, path: {{ $file }}}]
      {{- end }}
{{- end }}
{{- end }}

{{/* The container that runs the loop, or (follows) a copy of users' state and replicas. With KubeRay
the loop joins the Ray beside it. */}}
{{- define "everfresh.container" -}}
{{- $root := .root }}
name: everfresh
{{ include "everfresh.image" $root }}
args: [everfresh, up{{ if .follows }}, --follow{{ end }}]
env:
  {{- include "everfresh.env" $root | nindent 2 }}
  {{- if and $root.Values.kuberay.enabled (not .follows) }}
  - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - {name: EVERFRESH_RAY__ADDRESS, value: "$(POD_IP):6379"}
  - {name: RAY_AUTH_MODE, value: token}
  - name: RAY_AUTH_TOKEN
    valueFrom:
      secretKeyRef: {name: {{ $root.Values.kuberay.tokenSecret | default (include "everfresh.fullname" $root) }}, key: auth_token}
  {{- end }}
{{- with include "everfresh.envFrom" $root }}
envFrom:
  {{- . | nindent 2 }}
{{- end }}
ports:
  - {name: http, containerPort: {{ $root.Values.serving.port }}}
  - {name: grpc, containerPort: {{ $root.Values.serving.grpcPort }}}
# The door opens once the replicas are there: Kafka, Ray and a copy of the state may take minutes
# before; `up` itself gives up earlier.
startupProbe:
  httpGet: {path: {{ include "everfresh.path" $root }}/healthz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 360
# Ready is who has a version live; before the first window nobody has.
readinessProbe:
  httpGet: {path: {{ include "everfresh.path" $root }}/readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 3
# No liveness probe: what dies is started again inside, and `up` ends where that does not help.
lifecycle:
  # Clients hear first that the pod leaves; only then does it stop.
  preStop: {exec: {command: [sleep, "5"]}}
resources:
  {{- toYaml .resources | nindent 2 }}
volumeMounts:
  {{- include "everfresh.mounts" $root | nindent 2 }}
{{- end }}

{{- define "everfresh.exporter" -}}
name: metrics
{{ include "everfresh.image" . }}
args: [python, -m, everfresh.infra.exporter, --host=0.0.0.0, --port=9100]
env:
  - {name: EVERFRESH_HOME, value: /var/lib/everfresh/home}
  {{- include "everfresh.surroundings" . | nindent 2 }}
ports:
  # KubeRay gives the name metrics to a port of Ray's.
  - {name: exporter, containerPort: 9100}
resources:
  requests: {cpu: 10m, memory: 64Mi}
  limits: {memory: 192Mi}
volumeMounts:
  - {name: home, mountPath: /var/lib/everfresh}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{/* Ray's object store, in MiB. Its memory is /dev/shm, and counts as memory of the pod. */}}
{{- define "everfresh.objectStoreMb" -}}
{{- dig "ray" "object_store_mb" 256 .Values.settings | int }}
{{- end }}

{{- define "everfresh.rayStartParams" -}}
object-store-memory: {{ mul (include "everfresh.objectStoreMb" . | int) 1048576 | quote }}
disable-usage-stats: "true"
{{- end }}

{{/* The container that KubeRay takes for Ray's: it gets its command from there. */}}
{{- define "everfresh.ray" -}}
{{- $root := .root }}
name: ray
{{ include "everfresh.image" $root }}
env:
  {{- include "everfresh.surroundings" $root | nindent 2 }}
  # Else Ray's processes wait behind all others of the node.
  - {name: RAY_worker_niceness, value: "0"}
  {{- range $name, $value := $root.Values.env }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
{{- with include "everfresh.envFrom" $root }}
envFrom:
  {{- . | nindent 2 }}
{{- end }}
# KubeRay would else put in probes of its own, which want wget in the image.
readinessProbe:
  tcpSocket: {port: {{ .port }}}
  periodSeconds: 5
livenessProbe:
  tcpSocket: {port: {{ .port }}}
  initialDelaySeconds: 60
  periodSeconds: 10
  failureThreshold: 12
lifecycle:
  # Ray stays until what runs on it has stopped.
  preStop: {exec: {command: [sleep, "16"]}}
resources:
  {{- toYaml .resources | nindent 2 }}
volumeMounts:
  {{- include "everfresh.mounts" $root | nindent 2 }}
{{- end }}

{{/* What all pods of the chart have beside their containers. */}}
{{- define "everfresh.pod" -}}
serviceAccountName: {{ include "everfresh.serviceAccount" . }}
automountServiceAccountToken: false
# Variables such as EVERFRESH_SERVICE_HOST look like settings.
enableServiceLinks: false
terminationGracePeriodSeconds: 30
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "everfresh.podMetadata" -}}
labels:
  {{- include "everfresh.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- if ne .component "trainer" }}
  everfresh/answers: "true"
  {{- end }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  # A changed setting makes a new pod.
  checksum/settings: {{ include "everfresh.settings" .root | sha256sum }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "everfresh.claim" -}}
accessModes: [ReadWriteOnce]
{{- with .Values.persistence.storageClass }}
storageClassName: {{ if eq . "-" }}""{{ else }}{{ . }}{{ end }}
{{- end }}
resources:
  requests: {storage: {{ .Values.persistence.size }}}
{{- end }}

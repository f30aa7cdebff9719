{{- define "vfnet.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "vfnet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "vfnet.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "vfnet.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "vfnet.selector" -}}
app.kubernetes.io/name: {{ include "vfnet.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "vfnet.labels" -}}
{{ include "vfnet.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "vfnet.image" -}}
{{ .root.Values.image.prefix }}{{ .name }}:{{ default .root.Chart.AppVersion .root.Values.image.tag }}
{{- end -}}

{{/* Options by name as variables, which the commands read. */}}
{{- define "vfnet.settings" -}}
{{- range $name, $value := .settings }}
- name: VFNET_{{ $.command }}_{{ $name | upper | replace "-" "_" }}
  value: {{ if kindIs "slice" $value }}{{ join "," $value | quote }}{{ else if kindIs "float64" $value }}{{ if eq (floor $value) $value }}{{ int64 $value | quote }}{{ else }}{{ $value | quote }}{{ end }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- end -}}

{{- define "vfnet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "vfnet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "vfnet.spread" -}}
{{- if .spread }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.spread }}
    labelSelector:
      matchLabels: {{- include "vfnet.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "vfnet.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Ends with a sentence where `path`, a value called `name`, leads out of the folder that it begins in. */}}
{{- define "vfnet.checkPath" -}}
{{- if regexMatch "(^|/)\\.\\.(/|$)" .path -}}
{{- fail (printf "%s is %s: its '..' leads out of %s; name what is below it" .name .path .folder) -}}
{{- end -}}
{{- end -}}

{{/* Of the repository, in the containers that mount it. */}}
{{- define "vfnet.repositoryFolder" -}}
{{- $folder := .Values.repository.folder -}}
{{- include "vfnet.checkPath" (dict "name" "repository.folder" "path" $folder "folder" "/repository") -}}
{{- if hasPrefix "/" $folder -}}
{{- fail (printf "repository.folder is %s: it is a folder's name in the claim, such as vfnet, without a / before it" $folder) -}}
{{- end -}}
/repository/{{ $folder }}
{{- end -}}

{{/* What `vfnet build` is given. */}}
{{- define "vfnet.checkpointSource" -}}
{{- $source := .Values.checkpoint.source -}}
{{- if not (or (has $source (list "demo" "coco")) (regexMatch "^(?i:https?)://" $source)) -}}
{{- if not (hasPrefix "/checkpoints/" $source) -}}
{{- fail (printf "checkpoint.source is %s: it is demo, coco, an http(s) URL, or a path below /checkpoints" $source) -}}
{{- end -}}
{{- include "vfnet.checkPath" (dict "name" "checkpoint.source" "path" $source "folder" "/checkpoints") -}}
{{- if not (include "vfnet.hasCheckpoints" .) -}}
{{- fail "checkpoint.source is below /checkpoints: checkpoint.existingClaim or checkpoint.fetch says what is there" -}}
{{- end -}}
{{- end -}}
{{ $source }}
{{- end -}}

{{/* Where the gateway keeps images. */}}
{{- define "vfnet.captureStore" -}}
{{- $store := .Values.gateway.capture.store -}}
{{- $path := trimPrefix "file://" $store -}}
{{- include "vfnet.checkPath" (dict "name" "gateway.capture.store" "path" $path "folder" "its folder") -}}
{{- if not (contains "://" $path) -}}
{{- if not (or (eq $path "/captured") (hasPrefix "/captured/" $path)) -}}
{{- fail (printf "gateway.capture.store is %s, a folder that is not below /captured, where its claim is" $store) -}}
{{- end -}}
{{- if not .Values.gateway.capture.existingClaim -}}
{{- fail "gateway.capture.store is a folder: gateway.capture.existingClaim says which claim has it" -}}
{{- end -}}
{{- end -}}
{{ $store }}
{{- end -}}

{{/* The containers that make the repository: what fetches checkpoints, and `vfnet build`. */}}
{{- define "vfnet.buildContainers" -}}
{{- with .Values.checkpoint.fetch }}
{{- if .image }}
- name: fetch
  image: {{ .image | quote }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  {{- with .command }}
  command: {{- toYaml . | nindent 4 }}
  {{- end }}
  env:
    - {name: HOME, value: /tmp}
    {{- with .env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .envFrom }}
  envFrom: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext: {{- include "vfnet.containerSecurity" $ | nindent 4 }}
  volumeMounts:
    - {name: checkpoints, mountPath: /checkpoints}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end }}
- name: build
  image: {{ include "vfnet.image" (dict "root" . "name" .Values.server.buildImage) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    - build
    - {{ printf "--checkpoint=%s" (include "vfnet.checkpointSource" .) | quote }}
    - {{ printf "--repository=%s" (include "vfnet.repositoryFolder" .) | quote }}
    {{- range .Values.build.options }}
    - {{ . | quote }}
    {{- end }}
  env:
    - {name: VFNET_CACHE_DIR, value: /cache}
  resources: {{- toYaml .Values.build.resources | nindent 4 }}
  securityContext: {{- include "vfnet.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: repository, mountPath: /repository}
    - {name: cache, mountPath: /cache}
    - {name: tmp, mountPath: /tmp}
    {{- if include "vfnet.hasCheckpoints" . }}
    - {name: checkpoints, mountPath: /checkpoints, readOnly: true}
    {{- end }}
{{- end -}}

{{- define "vfnet.hasCheckpoints" -}}
{{- if or .Values.checkpoint.existingClaim .Values.checkpoint.fetch.image }}yes{{ end -}}
{{- end -}}

{{- define "vfnet.checkpointsVolume" -}}
{{- if .Values.checkpoint.existingClaim }}
- name: checkpoints
  persistentVolumeClaim: {claimName: {{ .Values.checkpoint.existingClaim }}{{ if not .Values.checkpoint.fetch.image }}, readOnly: true{{ end }}}
{{- else if .Values.checkpoint.fetch.image }}
- name: checkpoints
  emptyDir: {}
{{- end }}
{{- end -}}

{{- define "vfnet.keysSecret" -}}
{{- default (printf "%s-keys" (include "vfnet.fullname" .)) .Values.gateway.keys.existingSecret -}}
{{- end -}}

{{- define "vfnet.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

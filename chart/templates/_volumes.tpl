{{- define "pc.reportsVolume" -}}
- name: reports
  {{- if .Values.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ include "pc.claim" . }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}

{{/* The token that an upload shows, as it is mounted. `side` is collector or web. */}}
{{- define "pc.uploadVolume" -}}
- name: upload
  {{- if eq .root.Values.upload.auth "token" }}
  secret:
    secretName: {{ .root.Values.upload.existingSecret }}
    items: [{key: {{ .root.Values.upload.key }}, path: {{ .root.Values.upload.key }}}]
  {{- else }}
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ .root.Values.upload.audience }}
          expirationSeconds: 3600
          path: token
  {{- end }}
{{- end }}

{{- define "pc.collectorMounts" -}}
{{- if include "pc.writesFiles" . }}
- {name: reports, mountPath: {{ .Values.config.reportPath }}}
{{- end }}
{{- if .Values.cache.enabled }}
- {name: cache, mountPath: /cache}
{{- end }}
{{- if .Values.registryCredentials.existingSecret }}
- {name: registry-credentials, mountPath: /etc/docker, readOnly: true}
{{- end }}
{{- if or .Values.trust.policies .Values.trust.existingConfigMap }}
- {name: policies, mountPath: /etc/provenance/policies, readOnly: true}
{{- end }}
{{- if and (kindIs "map" .Values.config.config) .Values.config.config }}
- {name: config, mountPath: /etc/provenance/config, readOnly: true}
{{- end }}
{{- if .Values.trust.keys.existingSecret }}
- {name: keys, mountPath: /etc/provenance/keys, readOnly: true}
{{- end }}
{{- if .Values.trust.trustedRoot.existingConfigMap }}
- {name: trusted-root, mountPath: /etc/provenance/trusted-root, readOnly: true}
{{- end }}
{{- if or .Values.registryCA.existingConfigMap .Values.registryCA.existingSecret }}
- {name: registry-ca, mountPath: /etc/provenance/registry-ca, readOnly: true}
{{- end }}
{{- if .Values.registryClientCert.existingSecret }}
- {name: registry-client-cert, mountPath: /etc/provenance/registry-client-cert, readOnly: true}
{{- end }}
{{- if and (include "pc.uploads" .) (ne .Values.upload.auth "none") }}
- {name: upload, mountPath: /etc/provenance/upload, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pc.collectorVolumes" -}}
{{- $files := .files }}
{{- $hasConfig := .hasConfig }}
{{- with .root }}
{{- if include "pc.writesFiles" . }}
{{ include "pc.reportsVolume" . }}
{{- end }}
{{- if .Values.cache.enabled }}
- name: cache
  persistentVolumeClaim:
    claimName: {{ include "pc.cacheClaim" . }}
{{- end }}
{{- with .Values.registryCredentials.existingSecret }}
- name: registry-credentials
  secret:
    secretName: {{ . }}
{{- end }}
{{- if or .Values.trust.policies .Values.trust.existingConfigMap }}
- name: policies
  configMap:
    {{- if .Values.trust.existingConfigMap }}
    name: {{ .Values.trust.existingConfigMap }}
    {{- else }}
    name: {{ $files }}
    items:
      {{- range $name, $policy := .Values.trust.policies }}
      {{- $file := printf "policy-%s.yaml" (trimSuffix ".yml" $name | trimSuffix ".yaml") }}
      - {key: {{ $file }}, path: {{ $file }}}
      {{- end }}
    {{- end }}
{{- end }}
{{- if $hasConfig }}
- name: config
  configMap:
    name: {{ $files }}
    items: [{key: config.yaml, path: config.yaml}]
{{- end }}
{{- with .Values.trust.keys.existingSecret }}
- name: keys
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.trust.trustedRoot.existingConfigMap }}
- name: trusted-root
  configMap:
    name: {{ . }}
{{- end }}
{{- if or .Values.registryCA.existingConfigMap .Values.registryCA.existingSecret }}
- name: registry-ca
  {{- if .Values.registryCA.existingSecret }}
  secret:
    secretName: {{ .Values.registryCA.existingSecret }}
  {{- else }}
  configMap:
    name: {{ .Values.registryCA.existingConfigMap }}
  {{- end }}
{{- end }}
{{- with .Values.registryClientCert.existingSecret }}
- name: registry-client-cert
  secret:
    secretName: {{ . }}
{{- end }}
{{- if and (include "pc.uploads" .) (ne .Values.upload.auth "none") }}
{{ include "pc.uploadVolume" (dict "root" .) }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
